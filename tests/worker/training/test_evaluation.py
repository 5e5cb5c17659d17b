"""Counting on the device, sample by sample and pixel by pixel."""

import numpy as np
import pytest
import torch
from sklearn.metrics import confusion_matrix, log_loss

from worker.training import evaluation
from worker.training.data import Part
from worker.training.evaluation import evaluate


def part(inputs: torch.Tensor, labels: torch.Tensor, *, classes: int = 3) -> Part:
    """Logits and labels as they lie on a device."""
    return Part(inputs.numpy(), labels.numpy(), classes=classes, device=torch.device("cpu"), resident=True)


@pytest.mark.parametrize("batch", [4, 512])
def test_counts_equal_those_of_scikit_learn(batch: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(evaluation, "EVALUATION_BATCH", batch)
    generator = torch.Generator().manual_seed(1)
    logits = torch.randn(30, 3, generator=generator)
    labels = torch.arange(30) % 3
    index = torch.arange(0, 30, 2)
    counts = evaluate(lambda inputs: inputs, part(logits, labels), index=index, classes=3)
    truth, scores = labels[index].numpy(), logits[index].numpy()
    np.testing.assert_array_equal(counts.confusion_CC, confusion_matrix(truth, scores.argmax(1)))
    probabilities = logits[index].double().softmax(1).numpy()
    assert counts.nll.item() == pytest.approx(log_loss(truth, probabilities), rel=1e-5)


def test_a_class_without_samples_keeps_its_row() -> None:
    counts = evaluate(
        lambda x: x, part(torch.eye(3), torch.zeros(3, dtype=torch.int64)), index=torch.arange(3), classes=3
    )
    assert counts.confusion_CC.tolist() == [[1, 1, 1], [0, 0, 0], [0, 0, 0]]


def test_dense_labels_are_counted_by_pixel() -> None:
    generator = torch.Generator().manual_seed(2)
    logits = torch.randn(4, 3, 5, 6, generator=generator)
    masks = torch.randint(3, (4, 5, 6), generator=generator, dtype=torch.uint8)
    counts = evaluate(lambda inputs: inputs, part(logits, masks), index=torch.arange(4), classes=3)
    expected = confusion_matrix(masks.flatten(), logits.argmax(1).flatten(), labels=range(3))
    np.testing.assert_array_equal(counts.confusion_CC, expected)
    by_pixel = -logits.log_softmax(1).gather(1, masks.long()[:, None]).mean()
    torch.testing.assert_close(counts.nll.float(), by_pixel)
