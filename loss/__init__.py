"""Losses for imbalanced classification: an adaptive one, and those it is compared with."""

from .adaptive import AdaptiveLoss
from .baselines import balanced_softmax, cross_entropy, focal, weighted
from .functional import adaptive, class_errors, update_importance, weighted_cross_entropy

__all__ = [
    "AdaptiveLoss",
    "adaptive",
    "balanced_softmax",
    "class_errors",
    "cross_entropy",
    "focal",
    "update_importance",
    "weighted",
    "weighted_cross_entropy",
]
