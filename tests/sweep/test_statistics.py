"""Intervals, against numbers worked by hand with the t table of any textbook."""

import math

import pytest

from sweep.statistics import Interval, interval, paired_difference


@pytest.mark.parametrize(
    ("values", "mean", "half"),
    [
        # Standard error s / √n times the t of 97.5 %: 12.7062 for 1 degree of freedom, 4.30265 for 2, 2.77645 for 4.
        ([1.0, 3.0], 2.0, math.sqrt(2) / math.sqrt(2) * 12.7062),
        ([0.4, 0.5, 0.6], 0.5, 0.1 / math.sqrt(3) * 4.30265),
        ([1.0, 2.0, 3.0, 4.0, 5.0], 3.0, math.sqrt(2.5) / math.sqrt(5) * 2.77645),
        ([0.7, 0.7, 0.7], 0.7, 0.0),
    ],
)
def test_an_interval_is_students_t(values: list[float], mean: float, half: float) -> None:
    found = interval(values)
    assert found.n == len(values)
    assert [found.mean, found.low, found.high] == pytest.approx([mean, mean - half, mean + half], rel=1e-5)


def test_one_value_has_no_interval_and_none_has_no_mean() -> None:
    assert interval([0.5]) == Interval(0.5, None, None, 1)
    with pytest.raises(ValueError, match="at least one value"):
        interval([])


@pytest.mark.parametrize(
    ("low", "high", "excludes"),
    [
        (0.1, 0.2, True), (-0.2, -0.1, True), (-0.1, 0.1, False), (0.0, 0.1, False), (-0.1, 0.0, False),
        (None, None, False),
    ],
)  # fmt: skip
def test_an_interval_on_one_side_of_zero_excludes_it(low: float | None, high: float | None, excludes: bool) -> None:
    assert Interval(0.0, low, high, 3).excludes_zero is excludes


def test_a_difference_is_paired_by_seed() -> None:
    ours = {1: 0.5, 2: 0.9, 3: 0.7, 4: 0.0}
    theirs = {3: 0.6, 2: 0.8, 1: 0.4, 9: 0.0}
    found = paired_difference(ours, theirs)
    assert found is not None
    # Seeds 1, 2 and 3 differ by 0.1 each, whatever the spread between seeds: an interval of (almost) no width.
    assert found.n == 3
    assert [found.mean, found.low, found.high] == pytest.approx([0.1, 0.1, 0.1])
    assert paired_difference({1: 0.5}, {2: 0.5}) is None
