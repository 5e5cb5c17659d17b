"""The loss that a trial names, looked up in `loss` and ready to be called on logits and targets."""

import inspect
from collections.abc import Callable, Mapping
from functools import partial

from torch import Tensor

import loss
from loss import AdaptiveLoss, baselines

Criterion = Callable[[Tensor, Tensor], Tensor]

ADAPTIVE = "adaptive"


def build_criterion(name: str, *, params: Mapping[str, float | str], class_counts_C: Tensor) -> Criterion:
    """The loss called `name`: from logits (B, C, ...) and targets (B, ...) to a mean over the batch.

    "adaptive" gives a new `AdaptiveLoss` on the device of `class_counts_C`; any other name the function of
    `loss.baselines`, which gets the class counts where it has a parameter for them. Raises ValueError for an
    unknown loss or parameter.
    """
    if name == ADAPTIVE:
        _refuse_unknown(name, params=params, known=inspect.signature(AdaptiveLoss).parameters)
        adaptive: Callable[..., AdaptiveLoss] = AdaptiveLoss
        return adaptive(len(class_counts_C), **params).to(class_counts_C.device)
    if name not in (known_losses := loss_names()):
        raise ValueError(f"Expected a loss among {', '.join(known_losses)}, got {name!r}. Name one of these.")
    function: Callable[..., Tensor] = getattr(baselines, name)
    known = inspect.signature(function).parameters
    _refuse_unknown(name, params=params, known=known)
    counts = {"class_counts": class_counts_C} if "class_counts" in known else {}
    return partial(function, **counts, **params)


def loss_names() -> tuple[str, ...]:
    """Every name that a trial's loss can have: "adaptive", and what `loss` exports of its baselines."""
    own = [name for name in loss.__all__ if getattr(loss, name).__module__ == baselines.__name__]
    return (ADAPTIVE, *sorted(own))


def _refuse_unknown(name: str, *, params: Mapping[str, float | str], known: Mapping[str, inspect.Parameter]) -> None:
    if unknown := set(params) - set(known):
        raise ValueError(
            f"Expected parameters of {name} among {', '.join(known)}, got {', '.join(sorted(unknown))}."
            " Remove them or name another loss."
        )
