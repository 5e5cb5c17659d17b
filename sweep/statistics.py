"""Uncertainty over replicates: intervals of a mean and of paired differences (scipy does the mathematics)."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from scipy import stats

CONFIDENCE = 0.95
NO_WIDTH = 1e-9
"""Below this an interval is rounding error."""


@dataclass(frozen=True, slots=True)
class Interval:
    """A mean over n replicates with its Student t interval, of 95 % unless said; without ends where n is 1."""

    mean: float
    low: float | None
    high: float | None
    n: int

    @property
    def excludes_zero(self) -> bool:
        """True where the interval lies on one side of zero.

        One replicate tells nothing, and neither do replicates that are all equal: an interval without width says
        that the score is too coarse, not that the difference is certain.
        """
        if self.low is None or self.high is None or self.high - self.low < NO_WIDTH:
            return False
        return self.low > 0 or self.high < 0


def interval(values: Sequence[float], *, confidence: float = CONFIDENCE) -> Interval:
    """The mean of independent replicates with its interval (Student's t, n - 1 degrees of freedom).

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
    half = float(stats.t.ppf((1 + confidence) / 2, len(sample) - 1) * stats.sem(sample))
    return Interval(mean, mean - half, mean + half, len(sample))


def paired_difference(
    ours: Mapping[int, float], theirs: Mapping[int, float], *, comparisons: int = 1
) -> Interval | None:
    """The mean of ours - theirs over the seeds that both have, with its interval; None without a common seed.

    Pairing by seed takes away what both share: subset, initialisation and order. Where it is one of several
    `comparisons`, its interval is so wide that all of them hold together in 95 % of cases (Bonferroni).
    """
    seeds = sorted(ours.keys() & theirs.keys())
    confidence = 1 - (1 - CONFIDENCE) / comparisons
    return interval([ours[seed] - theirs[seed] for seed in seeds], confidence=confidence) if seeds else None
