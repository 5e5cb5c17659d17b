"""AdaptiveLoss: the adaptive loss as a module that holds the importance."""

from collections.abc import Callable
from numbers import Integral, Real
from typing import get_args

import torch
import torch.distributed as dist
from torch import Tensor, nn

from .functional import Reduction, class_errors, update_importance, weighted_cross_entropy


class AdaptiveLoss(nn.Module):
    """Cross-entropy weighted by a moving average of each class's false-negative rate.

    In training mode each call first moves the importance of the classes in the batch by `alpha` towards their
    false-negative rate there, then weights the batch by it. In evaluation mode it weights by the importance
    as it stands: the one deliberate difference from the post, where looking at validation data changes it.

    Args:
        num_classes: C, at least 2.
        alpha: the weight of the new batch in the moving average, in [0, 1]. 0 is plain cross-entropy, to the
            last bit; 1 remembers nothing.
        ignore_index: an element with this target has no loss and is counted nowhere.
        label_smoothing: in [0, 1). The weight of an element is that of its target's class.
        reduction: "mean" over the elements that are not ignored (not over their weights; 0 if all are),
            "sum", or "none" for the shape of the target.

    `importance` is a buffer of C ones at first, saved in the state_dict. It stays float32 under autocast and
    after `.half()` or `.bfloat16()`, where a small alpha would be lost; `.double()` makes it float64. Where
    `torch.distributed` is initialised, the counts are summed over all ranks (each must make the same calls),
    so that every rank holds the same importance; the loss is of the rank's own batch.

    Raises:
        TypeError, ValueError: an argument, shape, dtype or device is not as described.
        IndexError: a target is no class. Told on a CPU only: elsewhere looking would make the host wait.
        Whatever is raised, the importance is untouched.

    Source: "An Intuitive Loss for Imbalanced Classification", a post at sachinruk.github.io of 28 August 2021.

    >>> criterion = AdaptiveLoss(num_classes=2, alpha=0.5)
    >>> criterion(torch.tensor([[2.0, 0.0], [2.0, 0.0]]), torch.tensor([0, 1]))
    tensor(1.0952)
    >>> criterion.importance
    tensor([0.5000, 1.0000])
    """

    importance: Tensor

    def __init__(
        self,
        num_classes: int,
        alpha: float = 0.01,
        *,
        ignore_index: int = -100,
        label_smoothing: float = 0.0,
        reduction: Reduction = "mean",
    ) -> None:
        """An importance of ones, ready to train; see the class for the arguments."""
        super().__init__()
        if (num_classes := _integer("num_classes", num_classes)) < 2:
            raise ValueError(f"Expected num_classes of at least 2, got {num_classes}. A binary model needs two logits.")
        self.alpha = _number("alpha", alpha)
        if not 0 <= self.alpha <= 1:
            raise ValueError(f"Expected alpha in [0, 1], got {alpha}. It is the weight of the new batch.")
        self.ignore_index = _integer("ignore_index", ignore_index)
        self.label_smoothing = _number("label_smoothing", label_smoothing)
        if not 0 <= self.label_smoothing < 1:
            raise ValueError(
                f"Expected label_smoothing in [0, 1), got {label_smoothing}. It is spread over all classes."
            )
        if reduction not in get_args(Reduction):
            raise ValueError(f"Expected reduction to be one of {get_args(Reduction)}, got {reduction!r}.")
        self.reduction: Reduction = reduction
        self.register_buffer("importance", torch.ones(num_classes))

    def forward(self, logits: Tensor, target: Tensor) -> Tensor:
        """The loss of a batch: a scalar, or (N, d1, ...) for "none".

        Logits are (N, C) or (N, C, d1, ...), of floats; targets (N) or (N, d1, ...), of int64.
        """
        _check(logits, target, self.importance)
        try:
            # Autograd keeps the clone, so that a later update does not spoil an earlier loss's backward.
            importance_C = self._updated(logits, target) if self.training else self.importance.clone()
            loss = weighted_cross_entropy(
                logits,
                target,
                weight_C=importance_C,
                ignore_index=self.ignore_index,
                label_smoothing=self.label_smoothing,
                reduction=self.reduction,
            )
        except IndexError as error:
            raise _no_class(target, num_classes=logits.shape[1], ignore_index=self.ignore_index) from error
        if self.training:
            self.importance.copy_(importance_C)
        return loss

    def extra_repr(self) -> str:
        """The arguments, for printing."""
        return (
            f"num_classes={self.importance.shape[0]}, alpha={self.alpha}, ignore_index={self.ignore_index}, "
            f"label_smoothing={self.label_smoothing}, reduction={self.reduction!r}"
        )

    def _updated(self, logits: Tensor, target: Tensor) -> Tensor:
        false_negatives_C, counts_C = class_errors(
            logits, target, ignore_index=self.ignore_index, dtype=self.importance.dtype
        )
        if dist.is_available() and dist.is_initialized() and dist.get_world_size() > 1:
            sums_2C = torch.stack((false_negatives_C, counts_C))
            dist.all_reduce(sums_2C)
            false_negatives_C, counts_C = sums_2C.unbind()
        return update_importance(
            self.importance, false_negatives_C=false_negatives_C, counts_C=counts_C, alpha=self.alpha
        )

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> "AdaptiveLoss":
        before_C = self.importance
        super()._apply(fn, recurse)  # type: ignore[no-untyped-call]  # torch has no annotation here
        if self.importance.dtype in (torch.float16, torch.bfloat16):
            self.importance = before_C.to(self.importance.device)
        return self


def _integer(name: str, value: object) -> int:
    if isinstance(value, bool) or not isinstance(value, Integral):
        raise TypeError(f"Expected {name} to be an int, got {value!r}. Pass a whole number.")
    return int(value)


def _number(name: str, value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, Real):
        raise TypeError(f"Expected {name} to be a number, got {value!r}. Pass a float.")
    return float(value)


def _check(logits: Tensor, target: Tensor, importance_C: Tensor) -> None:
    for name, value in (("logits", logits), ("target", target)):
        if not isinstance(value, Tensor):
            raise TypeError(f"Expected {name} as a tensor, got {type(value).__name__}. Use torch.as_tensor({name}).")
    classes = importance_C.shape[0]
    if logits.ndim < 2 or logits.shape[1] != classes:
        raise ValueError(
            f"Expected logits of shape (N, {classes}) or (N, {classes}, d1, ...), got {tuple(logits.shape)}. "
            "Classes are dimension 1, as many as num_classes; give a single sample a batch dimension of 1."
        )
    if not logits.is_floating_point():
        raise TypeError(f"Expected floating-point logits, got {logits.dtype}. Pass the model's raw outputs.")
    if target.is_floating_point():
        raise TypeError(
            f"Expected class indices (torch.int64) as target, got {target.dtype}. Soft and mixup targets are "
            "not defined for this loss: a false negative needs one class an element. Pass the labels."
        )
    expected = (logits.shape[0], *logits.shape[2:])
    if target.shape != expected:
        raise ValueError(
            f"Expected target of shape {expected} for logits of shape {tuple(logits.shape)}, got "
            f"{tuple(target.shape)}. Pass one class index an element, not one-hot, with no extra dimension."
        )
    if target.dtype != torch.int64:
        raise TypeError(f"Expected target of dtype torch.int64, got {target.dtype}. Use target.long().")
    if not logits.device == target.device == importance_C.device:
        raise ValueError(
            f"Expected logits, target and importance on one device, got {logits.device}, {target.device} and "
            f"{importance_C.device}. Move them with .to(device); the loss is a module and moves likewise."
        )


def _no_class(target: Tensor, *, num_classes: int, ignore_index: int) -> IndexError:
    outside = target[(target != ignore_index) & ((target < 0) | (target >= num_classes))]
    return IndexError(
        f"Expected every target to be a class from 0 to {num_classes - 1}, or ignore_index ({ignore_index}), "
        f"got {int(outside[0])}. Map the labels to 0 ... C - 1, or set ignore_index."
    )
