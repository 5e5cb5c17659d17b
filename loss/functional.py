"""The mathematics of the adaptive loss, as pure functions on tensors.

Nothing here holds state, writes into an argument, waits for a device or lets a shape depend on data: every
function runs under `torch.func.vmap`, `torch.compile(fullgraph=True)` and CUDA graphs. Arguments are not
checked here; `AdaptiveLoss` does that.

Shapes: logits are (N, C) or (N, C, d1, ...), targets (N) or (N, d1, ...) of int64. _C: a value a class.

With `class_dim=2` every argument has members in front, and every answer: K losses at once, each of its own logits
(K, N, C, ...), targets (K, N, ...), importance or weights (K, C), and numbers, which are (K) or one for all.
"""

from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

Reduction = Literal["mean", "sum", "none"]
_VECTOR = 16


def adaptive(
    logits: Tensor,
    target: Tensor,
    importance_C: Tensor,
    *,
    alpha: float | Tensor,
    update: bool = True,
    ignore_index: int = -100,
    label_smoothing: float | Tensor = 0.0,
    reduction: Reduction = "mean",
    class_dim: int = 1,
) -> tuple[Tensor, Tensor]:
    """The adaptive loss, and the importance after this batch (which is also the one that weighted it).

    With `update=False` the importance is used as it stands and handed back. No gradient flows through the
    importance.

    Source: "An Intuitive Loss for Imbalanced Classification", a post at sachinruk.github.io of 28 August 2021. It is
    the recall loss of Tian et al. (arXiv:2106.14917) with a moving average.

    >>> logits, target = torch.tensor([[2.0, 0.0], [2.0, 0.0]]), torch.tensor([0, 1])
    >>> loss, importance = adaptive(logits, target, torch.ones(2), alpha=0.5)
    >>> importance
    tensor([0.5000, 1.0000])
    """
    importance_C = importance_C.detach()
    if update:
        false_negatives_C, counts_C = class_errors(
            logits, target, ignore_index=ignore_index, dtype=importance_C.dtype, class_dim=class_dim
        )
        importance_C = update_importance(
            importance_C, false_negatives_C=false_negatives_C, counts_C=counts_C, alpha=alpha
        )
    loss = weighted_cross_entropy(
        logits,
        target,
        weight_C=importance_C,
        ignore_index=ignore_index,
        label_smoothing=label_smoothing,
        reduction=reduction,
        class_dim=class_dim,
    )
    return loss, importance_C


def class_errors(
    logits: Tensor,
    target: Tensor,
    *,
    ignore_index: int = -100,
    dtype: torch.dtype = torch.float32,
    class_dim: int = 1,
) -> tuple[Tensor, Tensor]:
    """False negatives and elements of each class in the batch, both of shape (C) and the given dtype.

    The predicted class is the arg max over the classes, the first one where several are equal. Elements whose
    target is `ignore_index` count nowhere. A class out of range raises IndexError on a CPU,
    of a stack in its loss at the latest.

    >>> class_errors(torch.tensor([[2.0, 0.0], [2.0, 0.0], [0.0, 1.0]]), torch.tensor([0, 1, 1]))
    (tensor([0., 1.]), tensor([1., 2.]))
    """
    num_classes = logits.shape[class_dim]
    # On a CPU max reads dense logits up to eight times faster than argmax, and chooses alike between equals.
    missed = logits.detach().max(dim=class_dim).indices != target
    # Bins 2c and 2c + 1 hold the hits and misses of class c, and the last one what is ignored. Integers,
    # because a float32 sum of ones stands still at 2 ** 24, which a batch of large images reaches.
    size = 2 * num_classes + 1
    bins = torch.where(target == ignore_index, 2 * num_classes, 2 * target + missed)
    members = logits.shape[: class_dim - 1]
    if members:
        bins = bins + per_member(size * torch.arange(len(logits), device=logits.device), bins)
    bins = bins.flatten()
    tally = torch.zeros(members.numel() * size, dtype=torch.int64, device=logits.device)
    tally = tally.index_add(0, bins, torch.ones_like(bins)).view(*members, size)
    tally_C2 = tally[..., :-1].view(*members, num_classes, 2)
    return tally_C2[..., 1].to(dtype), tally_C2.sum(dim=-1).to(dtype)


def update_importance(
    importance_C: Tensor, *, false_negatives_C: Tensor, counts_C: Tensor, alpha: float | Tensor
) -> Tensor:
    """The importance moved by `alpha` towards each class's false-negative rate; absent classes keep theirs.

    importance <- alpha * false negatives / count + (1 - alpha) * importance, where the count is above 0.

    >>> false_negatives_C, counts_C = torch.tensor([1.0, 0.0]), torch.tensor([4.0, 0.0])
    >>> update_importance(torch.ones(2), false_negatives_C=false_negatives_C, counts_C=counts_C, alpha=1.0)
    tensor([0.2500, 1.0000])
    """
    if isinstance(alpha, Tensor):
        alpha = alpha[..., None]
    rate_C = false_negatives_C / counts_C.clamp(min=1)
    return torch.where(counts_C > 0, alpha * rate_C + (1 - alpha) * importance_C, importance_C)


def weighted_cross_entropy(
    logits: Tensor,
    target: Tensor,
    *,
    weight_C: Tensor,
    ignore_index: int = -100,
    label_smoothing: float | Tensor = 0.0,
    reduction: Reduction = "mean",
    class_dim: int = 1,
) -> Tensor:
    """Each element's cross-entropy times the weight of its target's class, reduced.

    "mean" divides by the number of elements that are not ignored, not by the sum of their weights as
    `torch.nn.functional.cross_entropy` does; a batch in which all are ignored has loss 0 and gradient 0
    (torch: NaN). "none" gives the shape of the target, with 0 where ignored. With label smoothing the weight
    of the target's class goes for the whole smoothed cross-entropy (torch weights each class's term by its
    own). Logits and weights are brought to the higher precision of the two. With weights of one, the mean and
    its gradient are those of `torch.nn.functional.cross_entropy` to the last bit.

    >>> weighted_cross_entropy(torch.zeros(2, 2), torch.tensor([0, 1]), weight_C=torch.tensor([1.0, 3.0]))
    tensor(1.3863)
    """
    dtype = torch.promote_types(logits.dtype, weight_C.dtype)
    weight_C = weight_C.to(dtype)
    log_p = log_softmax(logits.to(dtype), class_dim=class_dim)
    kept = target != ignore_index
    elements = tuple(range(class_dim - 1, target.ndim))
    divisor = kept.sum(dim=elements).clamp(min=1) if reduction == "mean" else 1
    is_smooth = isinstance(label_smoothing, Tensor) or label_smoothing > 0
    in_one = class_dim == 1 and reduction != "none"
    if in_one:
        # nll_loss does the weighting, for its order of summation is what makes the result that of cross_entropy.
        # Each term is divided before the two are added for the same reason.
        nll = F.nll_loss(log_p, target, weight=weight_C, ignore_index=ignore_index, reduction="sum")
    else:
        # Before the weights are looked up: it is nll_loss that says IndexError of a class that there is not.
        nll = negative_log(log_p, target, ignore_index=ignore_index, class_dim=class_dim)
    if is_smooth or not in_one:
        weight = weight_of_target(weight_C, target, kept=kept)
    if not in_one:
        nll = nll * weight
        nll = nll if reduction == "none" else nll.sum(dim=elements)
    nll = nll / divisor
    if not is_smooth:
        return nll
    uniform = -log_p.sum(dim=class_dim) * weight
    if reduction != "none":
        uniform = uniform.sum(dim=elements)
    label_smoothing = per_member(label_smoothing, nll)
    return (1 - label_smoothing) * nll + uniform / divisor * (label_smoothing / logits.shape[class_dim])


def log_softmax(logits: Tensor, *, class_dim: int = 1) -> Tensor:
    """The logits' log probabilities, in their shape: torch's own, and of a stack on a CPU up to seven times quicker.

    There torch takes less than 16 classes, which do not fill a vector of 512 bits, one by one where they lie innermost.
    So they are filled up with classes whose probability is 0, from which the answer differs by rounding.

    >>> log_softmax(torch.zeros(1, 2))
    tensor([[-0.6931, -0.6931]])
    """
    classes = logits.shape[class_dim]
    if class_dim == 1 or logits.device.type != "cpu" or class_dim != logits.ndim - 1 or classes >= _VECTOR:
        return F.log_softmax(logits, dim=class_dim)
    filled = F.pad(logits, (0, _VECTOR - classes), value=-torch.inf)
    return F.log_softmax(filled, dim=class_dim)[..., :classes]


def negative_log(log_p: Tensor, target: Tensor, *, ignore_index: int = -100, class_dim: int = 1) -> Tensor:
    """Each element's `-log_p` of its target, in the shape of the target; 0 where ignored.

    >>> negative_log(torch.tensor([[-1.0, -2.0]]), torch.tensor([1]))
    tensor([2.])
    """
    log_p, flat = log_p.flatten(0, class_dim - 1), target.flatten(0, class_dim - 1)
    return F.nll_loss(log_p, flat, ignore_index=ignore_index, reduction="none").view(target.shape)


def weight_of_target(weight_C: Tensor, target: Tensor, *, kept: Tensor) -> Tensor:
    """Each element's weight by its target, in the shape of the target; 0 where it is not `kept`.

    >>> weight_of_target(torch.tensor([1.0, 3.0]), torch.tensor([1, -100]), kept=torch.tensor([True, False]))
    tensor([3., 0.])
    """
    index = torch.where(kept, target, 0).flatten(weight_C.ndim - 1)
    return torch.where(kept, weight_C.gather(-1, index).view(target.shape), 0)


def per_member(value: float | Tensor, like: Tensor) -> float | Tensor:
    """A number a member (K) shaped to be multiplied with `like` (K, ...); one number for all as it is."""
    return value.view(-1, *[1] * (like.ndim - 1)) if isinstance(value, Tensor) and value.ndim else value
