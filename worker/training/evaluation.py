"""How a model does on samples, counted where the samples lie."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

EVALUATION_BATCH = 512


@dataclass(frozen=True, eq=False, slots=True)
class Counts:
    """Counts on the device: confusion (C, C), int64, rows true, and mean nll in nats (0-d, float64)."""

    confusion_CC: Tensor
    nll: Tensor


def evaluate(
    forward: Callable[[Tensor], Tensor],
    inputs: Tensor,
    labels: Tensor,
    *,
    index: Tensor,
    classes: int,
) -> Counts:
    """What the raw logits of `forward` say about the rows `index` (at least one) of inputs and labels.

    Nothing is moved to the host. The caller puts the model in evaluation mode.
    """
    confusion = torch.zeros(classes * classes, dtype=torch.int64, device=inputs.device)
    nll_sum = torch.zeros((), dtype=torch.float64, device=inputs.device)
    with torch.inference_mode():
        for index_B in torch.split(index, EVALUATION_BATCH):
            target_B = labels[index_B].long()
            logits_BC = forward(inputs[index_B])
            cell_B = target_B * classes + logits_BC.argmax(dim=1)
            # Not bincount, which asks a GPU for the largest cell and so waits for it.
            confusion.scatter_add_(0, cell_B.flatten(), torch.ones_like(cell_B).flatten())
            nll_sum += functional.cross_entropy(logits_BC, target_B, reduction="sum")
    return Counts(confusion.view(classes, classes), nll_sum / confusion.sum())
