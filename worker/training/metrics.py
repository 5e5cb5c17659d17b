"""What a confusion matrix says about a classifier.

`confusion_CC` counts samples (or pixels): rows are the true classes, columns the predicted ones, int64. A
class without true samples has no recall (NaN) and is left out of every mean; predictions of it still count as
errors of the others.
"""

from collections.abc import Callable, Mapping

import numpy as np
from numpy.typing import NDArray

Confusion = NDArray[np.int64]


def scores(confusion_CC: Confusion) -> dict[str, float]:
    """Every score of `SCORES` by name, each in [0, 1]."""
    return {name: score(confusion_CC) for name, score in SCORES.items()}


def recall(confusion_CC: Confusion) -> NDArray[np.float64]:
    """The share of each class's samples that were found (C,); NaN for a class without samples."""
    hits_C, truths_C = confusion_CC.diagonal(), confusion_CC.sum(axis=1)
    recall_C: NDArray[np.float64] = np.full(len(truths_C), np.nan)
    np.divide(hits_C, truths_C, out=recall_C, where=truths_C > 0)
    return recall_C


def accuracy(confusion_CC: Confusion) -> float:
    """The share of all samples that were found."""
    return float(confusion_CC.trace() / confusion_CC.sum())


def balanced_accuracy(confusion_CC: Confusion) -> float:
    """The mean of the classes' recalls."""
    return float(np.nanmean(recall(confusion_CC)))


def worst_recall(confusion_CC: Confusion) -> float:
    """The lowest of the classes' recalls."""
    return float(np.nanmin(recall(confusion_CC)))


def g_mean(confusion_CC: Confusion) -> float:
    """The geometric mean of the classes' recalls: 0 as soon as one class is never found."""
    recall_C = recall(confusion_CC)
    present_C = recall_C[~np.isnan(recall_C)]
    return float(np.prod(present_C ** (1 / len(present_C))))


def macro_f1(confusion_CC: Confusion) -> float:
    """The mean of F1 over the classes with samples; 0 for a class that is never predicted."""
    truths_C, predictions_C = confusion_CC.sum(axis=1), confusion_CC.sum(axis=0)
    f1_C = 2 * confusion_CC.diagonal() / np.maximum(truths_C + predictions_C, 1)
    return float(f1_C[truths_C > 0].mean())


def iou(confusion_CC: Confusion) -> NDArray[np.float64]:
    """Intersection over union of each class (C,), as in PASCAL VOC; NaN for a class without true pixels."""
    hits_C, truths_C = confusion_CC.diagonal(), confusion_CC.sum(axis=1)
    union_C = truths_C + confusion_CC.sum(axis=0) - hits_C
    iou_C: NDArray[np.float64] = np.full(len(truths_C), np.nan)
    np.divide(hits_C, union_C, out=iou_C, where=truths_C > 0)
    return iou_C


def mean_iou(confusion_CC: Confusion) -> float:
    """The mean of the classes' intersections over union."""
    return float(np.nanmean(iou(confusion_CC)))


SCORES: Mapping[str, Callable[[Confusion], float]] = {
    "accuracy": accuracy,
    "balanced_accuracy": balanced_accuracy,
    "worst_recall": worst_recall,
    "macro_f1": macro_f1,
    "g_mean": g_mean,
}
