"""The losses that the adaptive one is compared with, as functions of logits and targets.

Each is called as f(logits, target, *, ...) with logits (N, C) or (N, C, d1, ...) and int64 targets to match,
and returns the mean over the elements that are not ignored, 0 if all are. Like `functional`, they are safe
under vmap, torch.compile and CUDA graphs and do not check their arguments; they compute in float32 at least.
`class_counts` is a tensor (C): the training set's elements of each class, or their shares. With `class_dim=2`
everything has members in front, as in `functional`.
"""

from typing import Literal

import torch
from torch import Tensor

from .functional import log_softmax, negative_log, per_member, weight_of_target, weighted_cross_entropy


def cross_entropy(
    logits: Tensor,
    target: Tensor,
    *,
    ignore_index: int = -100,
    label_smoothing: float | Tensor = 0.0,
    class_dim: int = 1,
) -> Tensor:
    """The mean cross-entropy: torch's, but 0 where all elements are ignored.

    >>> cross_entropy(torch.zeros(1, 2), torch.tensor([0]))
    tensor(0.6931)
    """
    shape = (*logits.shape[: class_dim - 1], logits.shape[class_dim])
    return weighted_cross_entropy(
        logits,
        target,
        weight_C=torch.ones(shape, dtype=torch.float32, device=logits.device),
        ignore_index=ignore_index,
        label_smoothing=label_smoothing,
        class_dim=class_dim,
    )


def focal(
    logits: Tensor, target: Tensor, *, gamma: float | Tensor = 2.0, ignore_index: int = -100, class_dim: int = 1
) -> Tensor:
    """The mean softmax focal loss, (1 - p)^gamma * cross-entropy with p the target's probability.

    `gamma` is at least 0; 0 is cross-entropy. Source: Lin et al., "Focal Loss for Dense Object Detection"
    (2017), equation 4, with the softmax in place of their sigmoid, and without their class factor.

    >>> focal(torch.zeros(1, 2), torch.tensor([0]))
    tensor(0.1733)
    """
    log_p = log_softmax(_at_least_float32(logits), class_dim=class_dim)
    losses = negative_log(log_p, target, ignore_index=ignore_index, class_dim=class_dim)
    # Away from 0, where a gamma below 1 has an infinite slope and would make the gradient 0 * inf.
    miss = -torch.expm1(-losses)
    miss = miss.clamp(min=torch.finfo(miss.dtype).tiny)
    elements = tuple(range(class_dim - 1, target.ndim))
    kept = (target != ignore_index).sum(dim=elements).clamp(min=1)
    return (miss ** per_member(gamma, miss) * losses).sum(dim=elements) / kept


def weighted(
    logits: Tensor,
    target: Tensor,
    *,
    class_counts: Tensor,
    reduction: Literal["mean", "weighted_mean"] = "mean",
    ignore_index: int = -100,
    class_dim: int = 1,
) -> Tensor:
    """Cross-entropy weighted by inverse class frequency; the weights of all classes sum to C.

    "mean" divides by the number of elements, "weighted_mean" by the sum of their weights, as torch's
    `cross_entropy(weight=...)` does: under imbalance the two differ much in scale, and so in effective
    learning rate. A class with no training elements has weight 0. Source of the normalisation: Cui et al.,
    "Class-Balanced Loss Based on Effective Number of Samples" (2019).

    >>> weighted(torch.zeros(1, 2), torch.tensor([1]), class_counts=torch.tensor([3, 1]))
    tensor(1.0397)
    """
    counts_C = class_counts.to(torch.promote_types(logits.dtype, torch.float32))
    inverse_C = torch.where(counts_C > 0, counts_C, torch.inf).reciprocal()
    weight_C = inverse_C / inverse_C.sum(dim=-1, keepdim=True) * logits.shape[class_dim]
    loss = weighted_cross_entropy(logits, target, weight_C=weight_C, ignore_index=ignore_index, class_dim=class_dim)
    if reduction == "mean":
        return loss
    kept = target != ignore_index
    weight = weight_of_target(weight_C, target, kept=kept)
    elements = tuple(range(class_dim - 1, target.ndim))
    return loss * kept.sum(dim=elements) / weight.sum(dim=elements).clamp(min=torch.finfo(weight.dtype).tiny)


def balanced_softmax(
    logits: Tensor, target: Tensor, *, class_counts: Tensor, ignore_index: int = -100, class_dim: int = 1
) -> Tensor:
    """The mean cross-entropy of the logits plus log class counts; predict with the bare logits.

    A class with no training elements is all but left out of the softmax. Source: Ren et al., "Balanced
    Meta-Softmax for Long-Tailed Visual Recognition" (2020); equal to the logit-adjusted loss of Menon et al.
    (2021) at tau 1.

    >>> balanced_softmax(torch.zeros(1, 2), torch.tensor([1]), class_counts=torch.tensor([3, 1]))
    tensor(1.3863)
    """
    logits = _at_least_float32(logits)
    log_counts_C = class_counts.to(logits.dtype).clamp(min=torch.finfo(logits.dtype).tiny).log()
    shape = (*class_counts.shape[:-1], 1, -1, *[1] * (logits.ndim - class_dim - 1))
    return cross_entropy(logits + log_counts_C.view(shape), target, ignore_index=ignore_index, class_dim=class_dim)


def _at_least_float32(logits: Tensor) -> Tensor:
    return logits.to(torch.promote_types(logits.dtype, torch.float32))
