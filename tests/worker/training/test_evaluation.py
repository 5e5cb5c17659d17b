"""Counting on the device, sample by sample and pixel by pixel."""

import numpy as np
import pytest
import torch
from sklearn.metrics import confusion_matrix, log_loss

from worker.training import evaluation
from worker.training.evaluation import Counts, evaluate

CPU = torch.device("cpu")


def counted(logits: torch.Tensor, labels: torch.Tensor, *, index: torch.Tensor) -> Counts:
    """Counts of one member whose logits are at hand."""
    return evaluate(
        lambda rows: logits[rows],
        lambda rows: labels[rows].long(),
        index[None],
        members_and_classes=(1, 3),
        pixels=labels[0].numel(),
        device=CPU,
    )


@pytest.mark.parametrize("batch", [4, 512])
def test_counts_equal_those_of_scikit_learn(batch: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(evaluation, "_BATCHES", {"cpu": (batch, 2**21)})
    generator = torch.Generator().manual_seed(1)
    logits = torch.randn(30, 3, generator=generator)
    labels = torch.arange(30) % 3
    index = torch.arange(0, 30, 2)
    counts = counted(logits, labels, index=index)
    truth, scores = labels[index].numpy(), logits[index].numpy()
    np.testing.assert_array_equal(counts.confusion_KCC[0], confusion_matrix(truth, scores.argmax(1)))
    probabilities = logits[index].double().softmax(1).numpy()
    assert counts.nll_K.item() == pytest.approx(log_loss(truth, probabilities), rel=1e-5)


def test_a_class_without_samples_keeps_its_row() -> None:
    counts = counted(torch.eye(3), torch.zeros(3, dtype=torch.int64), index=torch.arange(3))
    assert counts.confusion_KCC[0].tolist() == [[1, 1, 1], [0, 0, 0], [0, 0, 0]]


def test_dense_labels_are_counted_by_pixel() -> None:
    generator = torch.Generator().manual_seed(2)
    logits = torch.randn(4, 3, 5, 6, generator=generator)
    masks = torch.randint(3, (4, 5, 6), generator=generator, dtype=torch.uint8)
    counts = counted(logits, masks, index=torch.arange(4))
    expected = confusion_matrix(masks.flatten(), logits.argmax(1).flatten(), labels=range(3))
    np.testing.assert_array_equal(counts.confusion_KCC[0], expected)
    by_pixel = -logits.log_softmax(1).gather(1, masks.long()[:, None]).mean()
    torch.testing.assert_close(counts.nll_K[0].float(), by_pixel)


@pytest.mark.parametrize(("trained", "batches"), [(128, [32, 32, 6]), (30, [30, 30, 10])])
def test_large_images_of_many_members_are_judged_by_batches_that_training_has_memory_for(
    trained: int, batches: list[int]
) -> None:
    seen: list[int] = []

    def logits_of(rows: torch.Tensor) -> torch.Tensor:
        seen.append(rows.shape[1])
        return torch.zeros(64, rows.shape[1], 3)

    def targets_of(rows: torch.Tensor) -> torch.Tensor:
        return torch.zeros(64, rows.shape[1], dtype=torch.int64)

    index = torch.arange(70)[None]
    shape = (64, 3)
    evaluate(logits_of, targets_of, index, members_and_classes=shape, pixels=224**2, device=CPU, trained=trained)
    assert seen == batches
