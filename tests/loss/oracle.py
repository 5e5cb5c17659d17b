"""The adaptive loss written out by hand, element by element, in plain Python floats.

It shares no code and no operation with the package, so that an agreement to 1e-12 means something.
"""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

# The batch that the golden values are of.
LOGITS = torch.tensor([[2, 1, 0], [0, 1, 0], [1, 0, -1], [0, 2, 1], [1, 0, 0], [0, 0, 3]], dtype=torch.float64)
TARGET = torch.tensor([0, 0, 0, 1, 1, 2])


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What one batch gives: the mean, each element's weighted loss, and the importance after it."""

    mean: float
    elements: list[float]
    importance: list[float]


def step(
    logits: Tensor,
    target: Tensor,
    importance: list[float],
    *,
    alpha: float,
    ignore_index: int = -100,
    label_smoothing: float = 0.0,
) -> Outcome:
    """One call in training mode, from the importance before it."""
    rows = logits.movedim(1, -1).reshape(-1, logits.shape[1]).tolist()
    labels = target.flatten().tolist()
    importance = list(importance)
    for label in range(len(importance)):
        guesses = [row.index(max(row)) for row, own in zip(rows, labels, strict=True) if own == label]
        if label != ignore_index and guesses:
            rate = sum(guess != label for guess in guesses) / len(guesses)
            importance[label] = alpha * rate + (1 - alpha) * importance[label]
    elements = [
        0.0 if own == ignore_index else importance[own] * smoothed(row, own, label_smoothing)
        for row, own in zip(rows, labels, strict=True)
    ]
    kept = sum(own != ignore_index for own in labels)
    return Outcome(mean=math.fsum(elements) / max(kept, 1), elements=elements, importance=importance)


def smoothed(row: list[float], label: int, label_smoothing: float) -> float:
    """The cross-entropy of one element against (1 - s) of its label and s / C of every class."""
    top = max(row)
    log_sum = top + math.log(math.fsum(math.exp(value - top) for value in row))
    shares = [label_smoothing / len(row) + (1 - label_smoothing) * (index == label) for index in range(len(row))]
    return math.fsum(share * (log_sum - value) for share, value in zip(shares, row, strict=True))


def random_batch(
    seed: int, *, elements: tuple[int, ...], classes: int, ignored: float = 0.0, ties: bool = False
) -> tuple[Tensor, Tensor]:
    """Float64 logits and a target: skewed, so that some classes are absent; with whole logits, where tied."""
    generator = torch.Generator().manual_seed(seed)
    first, *rest = elements
    logits = 3 * torch.randn(first, classes, *rest, dtype=torch.float64, generator=generator)
    skew = torch.rand(elements, generator=generator) ** 3
    target = (skew * classes).long()
    target[torch.rand(elements, generator=generator) < ignored] = -100
    return (logits.round() if ties else logits), target
