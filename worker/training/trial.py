"""What one training run is made of: the trial's numbers, and the seed and samples of one replicate."""

from collections.abc import Mapping
from dataclasses import dataclass
from numbers import Integral
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

Optimizer = Literal["sgd", "adamw"]
Schedule = Literal["constant", "step", "cosine"]
Precision = Literal["float32", "tf32", "bfloat16", "float64"]
"""float64 is for tests: it tells what a computation owes to rounding."""
_WORDS = {"optimizer": get_args(Optimizer), "schedule": get_args(Schedule), "precision": get_args(Precision)}


@dataclass(frozen=True, kw_only=True, slots=True)
class TrialSpec:
    """One point of a study with everything resolved: nothing is left for the trainer to choose.

    `loss_params` are the loss's own (alpha, gamma, label_smoothing, ...), `model_params` the model's (width,
    depth). `momentum` and `nesterov` are read by "sgd" alone. `step_milestones` are fractions of all steps,
    at each of which the "step" schedule multiplies the learning rate by `step_factor`; the defaults are the
    protocol of Cao et al. 2019 (LDAM) and Cui et al. 2019. Weight decay is applied to every parameter, biases
    and norms too, as in their code.

    Raises ValueError for a word or a number that the trainer knows nothing to do with; the loss and the model, with
    their parameters, are looked up where they are built.
    """

    loss: str
    loss_params: Mapping[str, float | str]
    model: str
    model_params: Mapping[str, float]
    epochs: int
    batch_size: int
    optimizer: Optimizer
    lr: float
    momentum: float = 0.9
    nesterov: bool = False
    weight_decay: float = 0.0
    schedule: Schedule = "constant"
    warmup_epochs: int = 0
    step_milestones: tuple[float, ...] = (0.8, 0.9)
    step_factor: float = 0.01
    augment: bool = False
    precision: Precision = "float32"

    def __post_init__(self) -> None:
        """Refuses what would fail in the first epoch, or be trained as something else."""
        for field, known in _WORDS.items():
            if (given := getattr(self, field)) not in known:
                raise ValueError(f"Expected {field} among {', '.join(known)}, got {given!r}. Name one of these.")
        for field in ("epochs", "batch_size"):
            if not isinstance(given := getattr(self, field), Integral) or given < 1:
                raise ValueError(f"Expected {field} to be a whole number above 0, got {given!r}. Give one.")


@dataclass(frozen=True, eq=False, slots=True)
class Member:
    """One replicate of a trial: the point, its seed, and its rows of the training pool.

    `train_index` and `validation_index` are int64 arrays of row numbers into the pool. Initialisation, order
    of the samples and augmentation depend on `seed` and on the number of samples alone, so two members that
    differ in loss or alpha only are paired.
    """

    trial: TrialSpec
    seed: int
    train_index: NDArray[np.int64]
    validation_index: NDArray[np.int64]
