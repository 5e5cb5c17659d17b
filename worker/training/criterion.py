"""The losses of members that learn together, looked up in `loss` by the names in their trials.

Shapes: K members, of which G share a loss's name; B samples a batch, C classes.
"""

import inspect
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from numbers import Real
from typing import Any, Literal, get_args, get_origin

import numpy as np
import torch
from torch import Tensor

import loss
from loss import baselines
from loss.functional import adaptive

from .trial import TrialSpec

ADAPTIVE = "adaptive"
_ADAPTIVE_PARAMS = ("alpha", "label_smoothing")
_OURS = ("logits", "target", "class_counts", "ignore_index", "class_dim")
"""What a loss is given by the trainer, and not by a trial."""


class Criterion:
    """One loss a member, computed at once for all members whose losses have one name.

    Raises ValueError for an unknown loss or parameter, and a value that is none of its.
    """

    def __init__(self, specs: Sequence[TrialSpec], class_counts_KC: Tensor, importance_KC: Tensor) -> None:
        """`class_counts_KC` are the training samples of each member, for the losses that ask for them."""
        for spec in specs:
            check_loss(spec.loss, spec.loss_params)
        self._specs, self._class_counts_KC, self.importance_KC = list(specs), class_counts_KC, importance_KC
        by_kind: dict[tuple[object, ...], list[int]] = {}
        for k, spec in enumerate(self._specs):
            words = tuple(sorted(item for item in spec.loss_params.items() if not _varies(*item)))
            numbers = tuple(sorted(name for name, value in spec.loss_params.items() if _varies(name, value)))
            by_kind.setdefault((spec.loss, words, numbers), []).append(k)
        self._groups = []
        for kind, members in by_kind.items():
            index_G = torch.tensor(members, device=self.importance_KC.device)
            self._groups.append((index_G, self._computed(members, index_G, *kind)))  # type: ignore[arg-type]
        order_K = [k for members in by_kind.values() for k in members]
        self._position_K = torch.tensor(np.argsort(order_K), device=self.importance_KC.device)

    @property
    def adaptive(self) -> list[int]:
        """The members that have an importance."""
        return [k for k, spec in enumerate(self._specs) if spec.loss == ADAPTIVE]

    def __call__(self, logits_KBC: Tensor, target_KB: Tensor) -> Tensor:
        """The loss of each member (K,), its importance moved first where it has one."""
        if len(self._groups) == 1:
            return self._groups[0][1](logits_KBC, target_KB)
        losses = [compute(logits_KBC[index_G], target_KB[index_G]) for index_G, compute in self._groups]
        return torch.cat(losses)[self._position_K]

    def _computed(
        self,
        members: list[int],
        index_G: Tensor,
        name: str,
        words: tuple[tuple[str, object], ...],
        numbers: tuple[str, ...],
    ) -> Callable[[Tensor, Tensor], Tensor]:
        dtype, device = self.importance_KC.dtype, self.importance_KC.device
        given = {
            number: torch.tensor([self._specs[k].loss_params[number] for k in members], dtype=dtype, device=device)
            for number in numbers
        }
        if name == ADAPTIVE:
            return partial(self._adaptive, index_G=index_G, given={**given, **dict(words)})
        function = getattr(baselines, name)
        if "class_counts" in inspect.signature(function).parameters:
            given["class_counts"] = self._class_counts_KC[index_G]
        return partial(function, **given, **dict(words), class_dim=2)

    def _adaptive(self, logits_GBC: Tensor, target_GB: Tensor, *, index_G: Tensor, given: Mapping[str, Any]) -> Tensor:
        loss_G, importance_GC = adaptive(logits_GBC, target_GB, self.importance_KC[index_G], **given, class_dim=2)
        self.importance_KC.index_copy_(0, index_G, importance_GC)
        return loss_G


def check_loss(name: str, params: Mapping[str, float | str]) -> None:
    """Raises ValueError where there is no such loss, or it takes no such parameters or values, or needs more."""
    if name not in (known_losses := loss_names()):
        raise ValueError(f"Expected a loss among {', '.join(known_losses)}, got {name!r}. Name one of these.")
    declared = inspect.signature(adaptive if name == ADAPTIVE else getattr(baselines, name)).parameters
    taken = _ADAPTIVE_PARAMS if name == ADAPTIVE else tuple(declared)
    known = [parameter for parameter in taken if parameter not in _OURS]
    if unknown := set(params) - set(known):
        raise ValueError(
            f"Expected parameters of {name} among {', '.join(known) or 'none'}, got {', '.join(sorted(unknown))}."
            " Remove them or name another loss."
        )
    for parameter in known:
        if (value := params.get(parameter, declared[parameter].default)) is inspect.Parameter.empty:
            raise ValueError(f"Expected {parameter} of {name}, got none. Give a number: it has no default.")
        annotation = declared[parameter].annotation
        words = get_args(annotation) if get_origin(annotation) is Literal else ()
        if value not in words if words else not isinstance(value, Real):
            expected = " or ".join(words) or "a number"
            raise ValueError(f"Expected {parameter} of {name} to be {expected}, got {value!r}. Give it so.")


def loss_names() -> tuple[str, ...]:
    """Every name that a trial's loss can have: "adaptive", and what `loss` exports of its baselines."""
    own = [name for name in loss.__all__ if getattr(loss, name).__module__ == baselines.__name__]
    return (ADAPTIVE, *sorted(own))


def _varies(name: str, value: float | str) -> bool:
    """Whether members may differ in it within one call; without smoothing the losses take a shorter way."""
    return not isinstance(value, str) and not (name == "label_smoothing" and value == 0)
