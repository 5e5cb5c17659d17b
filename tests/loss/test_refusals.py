"""What AdaptiveLoss refuses, with what was expected, what it got, and the remedy."""

import numpy as np
import pytest
import torch

from loss import AdaptiveLoss

from .oracle import TARGET


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"alpha": 1.5}, ValueError, r"Expected alpha in \[0, 1\], got 1.5"),
        ({"alpha": -0.1}, ValueError, r"Expected alpha in \[0, 1\], got -0.1"),
        ({"alpha": float("nan")}, ValueError, r"Expected alpha in \[0, 1\], got nan"),
        ({"alpha": True}, TypeError, "Expected alpha to be a number, got True"),
        ({"alpha": "0.1"}, TypeError, "Expected alpha to be a number, got '0.1'"),
        ({"num_classes": 1}, ValueError, "Expected num_classes of at least 2, got 1"),
        ({"num_classes": 3.0}, TypeError, "Expected num_classes to be an int, got 3.0"),
        ({"num_classes": True}, TypeError, "Expected num_classes to be an int, got True"),
        ({"ignore_index": None}, TypeError, "Expected ignore_index to be an int, got None"),
        ({"label_smoothing": 1.0}, ValueError, r"Expected label_smoothing in \[0, 1\), got 1.0"),
        ({"label_smoothing": -0.1}, ValueError, r"Expected label_smoothing in \[0, 1\), got -0.1"),
        ({"label_smoothing": None}, TypeError, "Expected label_smoothing to be a number, got None"),
        ({"reduction": "average"}, ValueError, "Expected reduction to be one of .*, got 'average'"),
    ],
)
def test_arguments_out_of_bounds_are_refused(arguments, error, message):
    with pytest.raises(error, match=message):
        AdaptiveLoss(**{"num_classes": 3, **arguments})


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize(
    ("logits", "target", "error", "message"),
    [
        (torch.zeros(3), TARGET, ValueError, r"Expected logits of shape \(N, 3\) .* got \(3,\)"),
        (torch.zeros(6, 4), TARGET, ValueError, r"Expected logits of shape \(N, 3\) .* got \(6, 4\)"),
        (torch.zeros(6, 3), TARGET[:5], ValueError, r"Expected target of shape \(6,\) .* got \(5,\)"),
        (torch.zeros(6, 3), TARGET[:, None], ValueError, r"Expected target of shape \(6,\) .* got \(6, 1\)"),
        (torch.zeros(2, 3, 4, 5), torch.zeros(2, 5, 4).long(), ValueError, r"shape \(2, 4, 5\)"),
        (torch.zeros(6, 3).long(), TARGET, TypeError, "Expected floating-point logits, got torch.int64"),
        (torch.zeros(6, 3), torch.zeros(6, 3), TypeError, "got torch.float32. Soft and mixup targets"),
        (
            torch.zeros(6, 3),
            TARGET.int(),
            TypeError,
            r"dtype torch.int64, got torch.int32. Use target.long\(\)",
        ),
        (torch.zeros(6, 3, device="meta"), TARGET, ValueError, "on one device, got meta, cpu and cpu"),
        (
            torch.zeros(6, 3),
            TARGET + 1,
            IndexError,
            r"a class from 0 to 2, .*\(-100\), got 3. Map the labels",
        ),
        (
            torch.zeros(6, 3),
            TARGET - 1,
            IndexError,
            r"a class from 0 to 2, .*\(-100\), got -1. Map the labels",
        ),
    ],
)
@pytest.mark.parametrize(("reduction", "label_smoothing"), [("mean", 0.0), ("sum", 0.1), ("none", 0.0), ("none", 0.1)])
def test_bad_batches_are_refused_and_leave_the_importance(
    logits, target, error, message, training, reduction, label_smoothing
):
    criterion = AdaptiveLoss(3, 0.5, reduction=reduction, label_smoothing=label_smoothing).train(training)
    with pytest.raises(error, match=message):
        criterion(logits, target)
    assert torch.equal(criterion.importance, torch.ones(3))


def test_what_is_no_tensor_is_refused_and_numpys_whole_numbers_are_taken():
    with pytest.raises(TypeError, match=r"Expected logits as a tensor, got list. Use torch.as_tensor\(logits\)"):
        AdaptiveLoss(3)([[0.0, 0.0, 0.0]], TARGET)
    assert AdaptiveLoss(np.int64(3)).importance.shape == (3,)
