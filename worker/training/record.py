"""What is seen of a member: after every epoch, and when it is tested."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, eq=False, kw_only=True, slots=True)
class Evaluation:
    """How a model did on some samples: `confusion_CC` counts them, rows true classes, columns predicted.

    `nll` is the mean negative log-likelihood of the raw logits in nats: plain, whatever the loss of the
    training.
    """

    confusion_CC: NDArray[np.int64]
    nll: float


@dataclass(frozen=True, eq=False, kw_only=True, slots=True)
class EpochRecord:
    """One epoch of one member.

    `member` is its position in the training, `epoch` counts from 1. `lr` is the learning rate of the last
    step. `train_loss` (as minimised, importance included) and `mean_weight` are means over the epoch's
    `samples`, each taken at its own step; `mean_weight` is the mean importance of the samples' classes, the
    factor by which the loss changes the learning rate (1.0 for losses without importance). `importance_SC` is
    the importance after every step (steps, classes), float32, None for losses without. `seconds` is the wall
    time of the epoch divided by the members trained in it.

    `failure` says why the member was dropped, None while all is well. A failed member's numbers are what the
    broken model gave, for the record only.
    """

    member: int
    epoch: int
    steps: int
    samples: int
    lr: float
    train_loss: float
    mean_weight: float
    importance_SC: NDArray[np.float32] | None
    validation: Evaluation
    seconds: float
    failure: str | None
