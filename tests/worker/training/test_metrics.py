"""Scores from a confusion matrix, against scikit-learn's from labels."""

import numpy as np
import pytest
from sklearn import metrics as reference

from worker.training.metrics import balanced_accuracy, g_mean, iou, macro_f1, mean_iou, recall, scores, worst_recall


def labels(seed: int, *, classes: int, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Truths that fall off by class, and predictions that are right about half of the time."""
    generator = np.random.default_rng(seed)
    shares = 0.5 ** np.arange(classes)
    truth = np.concatenate([np.arange(classes), generator.choice(classes, count, p=shares / shares.sum())])
    guess = generator.integers(0, classes, len(truth))
    return truth, np.where(generator.random(len(truth)) < 0.5, truth, guess)


@pytest.mark.parametrize("classes", [2, 5, 10])
@pytest.mark.parametrize("seed", range(5))
def test_scores_equal_those_of_scikit_learn(classes: int, seed: int) -> None:
    truth, prediction = labels(seed, classes=classes, count=60)
    got = scores(reference.confusion_matrix(truth, prediction))
    recall_C = reference.recall_score(truth, prediction, average=None)
    expected = {
        "accuracy": reference.accuracy_score(truth, prediction),
        "balanced_accuracy": reference.balanced_accuracy_score(truth, prediction),
        "worst_recall": recall_C.min(),
        "macro_f1": reference.f1_score(truth, prediction, labels=range(classes), average="macro", zero_division=0),
        "g_mean": np.prod(recall_C) ** (1 / classes),
    }
    assert got == pytest.approx(expected, abs=1e-12)


def test_a_class_that_is_never_predicted_has_an_f1_of_zero() -> None:
    confusion = np.array([[4, 0], [2, 0]])
    assert macro_f1(confusion) == pytest.approx((2 * 4 / (4 + 6) + 0) / 2)


def test_a_class_without_samples_has_no_recall_and_no_part_in_the_means() -> None:
    confusion = np.array([[3, 0, 1], [0, 0, 0], [1, 1, 2]])
    np.testing.assert_array_equal(recall(confusion), [0.75, np.nan, 0.5])
    assert balanced_accuracy(confusion) == pytest.approx(0.625)
    assert worst_recall(confusion) == 0.5
    assert g_mean(confusion) == pytest.approx((0.75 * 0.5) ** 0.5)
    assert macro_f1(confusion) == pytest.approx((6 / 8 + 4 / 7) / 2)


def test_one_class_that_is_missed_makes_the_g_mean_zero() -> None:
    assert g_mean(np.array([[5, 0], [3, 0]])) == 0.0


def test_g_mean_of_a_thousand_weak_classes_does_not_underflow() -> None:
    confusion = np.eye(1000, dtype=np.int64) + np.roll(np.eye(1000, dtype=np.int64), 1, axis=1) * 9
    assert g_mean(confusion) == pytest.approx(0.1)


def test_iou_is_the_overlap_over_what_is_either_true_or_predicted() -> None:
    confusion = np.array([[50, 3, 0], [2, 5, 1], [4, 0, 0]])
    # By class: hits over hits, misses and false alarms.
    np.testing.assert_allclose(iou(confusion), [50 / (50 + 3 + 6), 5 / (5 + 3 + 3), 0 / (0 + 4 + 1)])
    assert mean_iou(confusion) == pytest.approx((50 / 59 + 5 / 11 + 0) / 3)


def test_a_class_without_pixels_has_no_iou_and_its_predictions_cost_the_others() -> None:
    confusion = np.array([[6, 2, 0], [0, 0, 0], [0, 1, 3]])
    np.testing.assert_array_equal(iou(confusion), [6 / 8, np.nan, 3 / 4])
    assert mean_iou(confusion) == 0.75


@pytest.mark.parametrize("seed", range(3))
def test_iou_equals_the_jaccard_score_of_scikit_learn(seed: int) -> None:
    truth, prediction = labels(seed, classes=4, count=80)
    expected = reference.jaccard_score(truth, prediction, average=None)
    np.testing.assert_allclose(iou(reference.confusion_matrix(truth, prediction)), expected)
