"""Uncertainty over replicates: intervals of a mean and of paired differences (scipy does the mathematics)."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import stats

CONFIDENCE = 0.95


@dataclass(frozen=True, slots=True)
class Interval:
    """A mean over n replicates with its 95 % Student t interval; without ends where n is 1."""

    mean: float
    low: float | None
    high: float | None
    n: int

    @property
    def excludes_zero(self) -> bool:
        """True where the interval lies on one side of zero; one replicate tells nothing."""
        return self.low is not None and self.high is not None and (self.low > 0 or self.high < 0)


def interval(values: Sequence[float]) -> Interval:
    """The mean of independent replicates with its 95 % interval (Student's t, n - 1 degrees of freedom).

    Equal values give an interval of no width. The replicates vary subset, initialisation and order together, on one
    test set: the interval is about repeating the training, not about other data.

    Raises:
        ValueError: if there are no values.
    """
    if not values:
        raise ValueError("Expected at least one value, got none.")
    sample = np.asarray(values, dtype=np.float64)
    mean = float(sample.mean())
    if len(sample) == 1:
        return Interval(mean, None, None, 1)
    half = float(stats.t.ppf((1 + CONFIDENCE) / 2, len(sample) - 1) * stats.sem(sample))
    return Interval(mean, mean - half, mean + half, len(sample))


def paired_difference(ours: dict[int, float], theirs: dict[int, float]) -> Interval | None:
    """The mean of ours - theirs over the seeds that both have, with its interval; None without a common seed.

    Pairing by seed takes away what both share: subset, initialisation and order.
    """
    seeds = sorted(ours.keys() & theirs.keys())
    return interval([ours[seed] - theirs[seed] for seed in seeds]) if seeds else None
