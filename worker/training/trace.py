"""What a cohort leaves behind: the course of an epoch, and the state between two of them.

Shapes: K members, of which A have an importance; R replicates, S steps, C classes.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from .trial import Member


@dataclass(frozen=True, eq=False, kw_only=True, slots=True)
class Trace:
    """One epoch's course of K members, still on the device."""

    members: Sequence[Member]
    epochs_K: Sequence[int]
    """Which epoch it was of each, from 1."""
    factors_SK: Tensor
    """What the learning rates were multiplied by, on the CPU."""
    sizes: list[int]
    """Samples of each step."""
    counted_SK: Tensor
    """Elements that each loss is a mean of: samples, or pixels that are not ignored."""
    loss_SK: Tensor
    mean_weight_K: Tensor
    importance_SAC: Tensor | None
    """Of the A members that have one, in their order."""


@dataclass(frozen=True, eq=False, kw_only=True, slots=True)
class State:
    """All that members are between two epochs: with it, training goes on as if nothing had happened."""

    epochs_K: list[int]
    """Epochs that each has been trained."""
    tensors: Mapping[str, Tensor]
    """Weights, buffers, moments and importance by name, members in front."""
    streams: Sequence[tuple[Tensor, Tensor]]
    """Each member's random streams: order and augmentation."""

    @classmethod
    def of(cls, states: Sequence["State"]) -> "State":
        """Several states as one."""
        names = states[0].tensors
        return cls(
            epochs_K=[epochs for state in states for epochs in state.epochs_K],
            tensors={name: torch.cat([state.tensors[name] for state in states]) for name in names},
            streams=[streams for state in states for streams in state.streams],
        )


class Tracer:
    """What is seen at each step of an epoch, left on the device until the epoch's end."""

    def __init__(self, index_A: Tensor, *, classes: int, dense: bool) -> None:
        """`index_A` are the members that have an importance; `dense` says that there is a label a pixel."""
        self._index_A, self._classes, self._dense = index_A, classes, dense
        self._losses: list[Tensor] = []
        self._counted: list[Tensor] = []
        self._importances: list[Tensor] = []
        self._seen: list[Tensor] = []

    def note(
        self, loss_K: Tensor, importance_KC: Tensor, target_RB: Tensor, *, to_members: Callable[[Tensor], Tensor]
    ) -> None:
        """Keeps a step: losses, the importance after it, and the classes it saw of each replicate's members."""
        self._losses.append(loss_K)
        if self._dense:
            self._counted.append(to_members((target_RB >= 0).flatten(1).sum(dim=1)))
        if len(self._index_A):
            self._importances.append(importance_KC[self._index_A])
            self._seen.append(to_members(_tally(target_RB, self._classes)))

    def trace(
        self, members: Sequence[Member], epochs_K: Sequence[int], *, factors_SK: Tensor, sizes: list[int]
    ) -> Trace:
        """The epoch, at its end."""
        loss_SK = torch.stack(self._losses)
        counted_SK = torch.stack(self._counted) if self._dense else torch.tensor(sizes)[:, None].expand_as(loss_SK)
        return Trace(
            members=members,
            epochs_K=epochs_K,
            factors_SK=factors_SK,
            sizes=sizes,
            counted_SK=counted_SK,
            loss_SK=loss_SK,
            mean_weight_K=self._mean_weight(loss_SK[0]),
            importance_SAC=torch.stack(self._importances) if self._importances else None,
        )

    def _mean_weight(self, like: Tensor) -> Tensor:
        """The mean importance of the classes of the epoch's samples, float64; 1 without importance, or labels."""
        weight_K = torch.ones(len(like), dtype=torch.float64, device=like.device)
        if self._importances:
            seen_SAC = torch.stack(self._seen)[:, self._index_A]
            importance_SAC = torch.stack(self._importances).double()
            seen_A, weighed_A = seen_SAC.sum(dim=(0, 2)), (importance_SAC * seen_SAC).sum(dim=(0, 2))
            weight_K[self._index_A] = torch.where(seen_A > 0, weighed_A / seen_A, 1.0)
        return weight_K


def _tally(target_RB: Tensor, classes: int) -> Tensor:
    """Elements of each class (R, C) in a batch; what is ignored is left out."""
    target_RE = target_RB.flatten(1)
    cell_RE = torch.where(target_RE < 0, classes, target_RE)
    counts = torch.zeros(len(target_RE), classes + 1, dtype=torch.int64, device=target_RE.device)
    return counts.scatter_add_(1, cell_RE, torch.ones_like(cell_RE))[:, :-1]
