"""How a model does on samples, counted where the samples lie."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from loss.functional import log_softmax, negative_log

_BATCHES = {"cpu": (128, 2**16), "cuda": (512, 2**21)}
"""Samples of a batch at most, and pixels of all members together: what a CPU's caches and a GPU's memory hold well."""
_WORTH_IT = 32
"""Samples that a batch has where training, which needs more memory for each, has as many."""


@dataclass(frozen=True, eq=False, slots=True)
class Counts:
    """Counts of K members on the device: confusion (K, C, C), int64, rows true, and mean nll (K,) in nats, float64."""

    confusion_KCC: Tensor
    nll_K: Tensor


def evaluate(
    logits_of: Callable[[Tensor], Tensor],
    targets_of: Callable[[Tensor], Tensor],
    index_RN: Tensor,
    *,
    members_and_classes: tuple[int, int],
    pixels: int,
    device: torch.device,
    trained: int = 1,
) -> Counts:
    """What the raw logits of K members say about the rows `index_RN` (R replicates' rows, at least one each).

    Given rows (R, B), `logits_of` answers logits (K, B, C, …) and `targets_of` targets (K, B, …), on the device; the
    rows may be elsewhere. `pixels` of an input bound the batch, but not below the samples of one of training
    (`trained`) or 32, whichever is less. What is ignored is counted nowhere. Nothing is moved to the host. The caller
    puts the models in evaluation mode.
    """
    members, classes = members_and_classes
    ignored = classes * classes
    confusion = torch.zeros(members, ignored + 1, dtype=torch.int64, device=device)
    nll_K = torch.zeros(members, dtype=torch.float64, device=device)
    samples, most = _BATCHES[device.type]
    batch = max(min(samples, most // (pixels * members)), min(trained, _WORTH_IT))
    with torch.inference_mode():
        for index_RB in torch.split(index_RN, batch, dim=1):
            target_KB, logits_KBC = targets_of(index_RB), logits_of(index_RB)
            cell_KB = torch.where(target_KB < 0, ignored, target_KB * classes + logits_KBC.argmax(dim=2)).flatten(1)
            # Not bincount, which asks a GPU for the largest cell and so waits for it.
            confusion.scatter_add_(1, cell_KB, torch.ones_like(cell_KB))
            nll = negative_log(log_softmax(logits_KBC, class_dim=2), target_KB, class_dim=2)
            nll_K += nll.view(members, -1).sum(dim=1)
    confusion_KCC = confusion[:, :-1].view(members, classes, classes)
    return Counts(confusion_KCC, nll_K / confusion_KCC.sum(dim=(1, 2)))
