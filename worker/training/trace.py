"""What a cohort leaves behind: the course of an epoch, and the state between two of them.

Shapes: K members, of which A have an importance; R replicates, S steps, C classes.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True, eq=False, kw_only=True, slots=True)
class Trace:
    """One epoch's course of K members, still on the device."""

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


def tally(target_RB: Tensor, classes: int) -> Tensor:
    """Elements of each class (R, C) in a batch; what is ignored is left out."""
    target_RE = target_RB.flatten(1)
    cell_RE = torch.where(target_RE < 0, classes, target_RE)
    counts = torch.zeros(len(target_RE), classes + 1, dtype=torch.int64, device=target_RE.device)
    return counts.scatter_add_(1, cell_RE, torch.ones_like(cell_RE))[:, :-1]


def mean_weight(importances: Sequence[Tensor], seen: Sequence[Tensor], *, index_A: Tensor, like: Tensor) -> Tensor:
    """The mean importance of the classes of an epoch's samples, float64, for each member as in `like` (K,).

    `importances` (A, C) and the classes `seen` (K, C) are those of every step; without them it is 1.
    """
    weight_K = torch.ones(len(like), dtype=torch.float64, device=like.device)
    if importances:
        seen_SAC = torch.stack(list(seen))[:, index_A]
        importance_SAC = torch.stack(list(importances)).double()
        weight_K[index_A] = (importance_SAC * seen_SAC).sum(dim=(0, 2)) / seen_SAC.sum(dim=(0, 2))
    return weight_K
