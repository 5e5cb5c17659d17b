"""How a model does on samples, counted where the samples lie."""

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from .data import Part

EVALUATION_BATCH = 512
_PIXELS = 2**21
"""Of a batch of large images, so that their activations fit into memory."""


@dataclass(frozen=True, eq=False, slots=True)
class Counts:
    """Counts on the device: confusion (C, C), int64, rows true, and mean nll in nats (0-d, float64)."""

    confusion_CC: Tensor
    nll: Tensor


def evaluate(
    forward: Callable[[Tensor], Tensor],
    part: Part,
    *,
    index: Tensor,
    classes: int,
) -> Counts:
    """What the raw logits of `forward` say about the rows `index` (at least one) of a pool or a test set.

    What is ignored is counted nowhere. Nothing is moved to the host. The caller puts the model in evaluation mode.
    """
    confusion = torch.zeros(classes * classes + 1, dtype=torch.int64, device=index.device)
    nll_sum = torch.zeros((), dtype=torch.float64, device=index.device)
    pixels = math.prod(part.inputs.shape[2:])
    with torch.inference_mode():
        for index_B in torch.split(index, max(min(EVALUATION_BATCH, _PIXELS // pixels), 1)):
            target_B = part.targets_of(index_B)
            logits_BC = forward(part.inputs_of(index_B))
            # The last cell takes what is ignored.
            cell_B = torch.where(target_B < 0, classes * classes, target_B * classes + logits_BC.argmax(dim=1))
            # Not bincount, which asks a GPU for the largest cell and so waits for it.
            confusion.scatter_add_(0, cell_B.flatten(), torch.ones_like(cell_B).flatten())
            nll_sum += functional.cross_entropy(logits_BC, target_B, reduction="sum")
    confusion_CC = confusion[:-1].view(classes, classes)
    return Counts(confusion_CC, nll_sum / confusion_CC.sum())
