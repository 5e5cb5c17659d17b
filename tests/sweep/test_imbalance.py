"""Class counts against published tables, and pixels made to them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sweep.errors import ImbalanceError
from sweep.imbalance import (
    Profile,
    class_counts,
    class_order,
    exponential,
    linear,
    measured_ratio,
    pixel_counts,
    step,
)

EXPONENTIAL = {
    (5000, 10): [5000, 3871, 2997, 2320, 1796, 1391, 1077, 834, 645, 500],
    (5000, 20): [5000, 3584, 2569, 1842, 1320, 946, 678, 486, 348, 250],
    (5000, 50): [5000, 3237, 2096, 1357, 878, 568, 368, 238, 154, 100],
    (5000, 100): [5000, 2997, 1796, 1077, 645, 387, 232, 139, 83, 50],
    (5000, 200): [5000, 2775, 1540, 854, 474, 263, 146, 81, 45, 25],
    (6000, 10): [6000, 4645, 3596, 2784, 2156, 1669, 1292, 1000, 774, 600],
    (6000, 50): [6000, 3884, 2515, 1628, 1054, 682, 442, 286, 185, 120],
    (6000, 100): [6000, 3596, 2156, 1292, 774, 464, 278, 166, 100, 60],
    (6000, 200): [6000, 3330, 1848, 1025, 569, 316, 175, 97, 54, 30],
}


@pytest.mark.parametrize(("head", "ratio"), EXPONENTIAL)
def test_exponential_counts_equal_the_published_table(head: int, ratio: int) -> None:
    assert list(exponential(head, classes=10, ratio=ratio)) == EXPONENTIAL[head, ratio]


@pytest.mark.parametrize(
    ("ratio", "total", "smallest"),
    [(10, 19573, 50), (20, 15907, 25), (50, 12608, 10), (100, 10847, 5), (200, 9502, 2)],
)
def test_exponential_totals_of_a_hundred_classes(ratio: int, total: int, smallest: int) -> None:
    counts = exponential(500, classes=100, ratio=ratio)
    assert (sum(counts), min(counts), counts[-1]) == (total, smallest, smallest)


@pytest.mark.parametrize(
    ("head", "classes", "ratio", "total"),
    [
        (5000, 10, 10, 27500),
        (5000, 10, 50, 25500),
        (5000, 10, 100, 25250),
        (5000, 10, 200, 25125),
        (500, 100, 10, 27500),
        (500, 100, 50, 25500),
        (500, 100, 100, 25250),
        (500, 100, 200, 25100),
    ],
)
def test_step_totals_equal_the_published_ones(head: int, classes: int, ratio: int, total: int) -> None:
    assert sum(step(head, classes=classes, ratio=ratio)) == total


@pytest.mark.parametrize(
    ("classes", "minority", "few"), [(3, 0.5, 2), (10, 0.7, 7), (10, 0.1, 1), (2, 0.9, 1), (4, 0.01, 1)]
)
def test_step_rounds_the_share_of_minority_classes(classes: int, minority: float, few: int) -> None:
    assert step(100, classes=classes, ratio=10, minority=minority).count(10) == few


def test_linear_counts_fall_by_equal_steps_without_losing_one_to_rounding() -> None:
    assert linear(5000, classes=10, ratio=10) == tuple(range(5000, 0, -500))


@given(
    head=st.integers(2, 100_000),
    classes=st.integers(2, 200),
    ratio=st.floats(1, 1e5),
    profile=st.sampled_from([exponential, step, linear]),
)
def test_every_profile_falls_from_the_head_to_the_truncated_tail(
    head: int, classes: int, ratio: float, profile: object
) -> None:
    assert callable(profile)
    counts = profile(head, classes=classes, ratio=ratio)
    assert len(counts) == classes
    assert list(counts) == sorted(counts, reverse=True)
    assert (counts[0], counts[-1]) == (head, int(head * (1 / ratio)))


def test_counts_are_in_label_order_and_the_head_is_the_smallest_class_by_default() -> None:
    assert class_counts("exponential", pool=[80, 50, 90], order=(2, 0, 1), ratio=10) == (15, 5, 50)


def test_a_larger_head_is_allowed_while_every_class_has_what_its_place_asks_for() -> None:
    pool = [90, 50, 20]
    assert class_counts("exponential", pool=pool, order=(0, 1, 2), ratio=10, n_max=90) == (90, 28, 9)
    with pytest.raises(ImbalanceError, match=r"Class 2 needs 90 samples and has 20"):
        class_counts("exponential", pool=pool, order=(2, 1, 0), ratio=10, n_max=90)


def test_a_class_without_samples_is_refused_with_the_largest_ratio_that_works() -> None:
    with pytest.raises(ImbalanceError, match=r"ratio 50 .* 49 samples .* ratio of at most 49") as caught:
        class_counts("step", pool=[49, 60], order=(0, 1), ratio=50)
    assert caught.value.problem.field == "imbalance.ratios"
    assert min(class_counts("step", pool=[49, 60], order=(0, 1), ratio=49)) == 1


@pytest.mark.parametrize("ratio", [None, 0.5, float("nan"), float("inf")])
def test_a_ratio_that_is_none_is_refused(ratio: float | None) -> None:
    with pytest.raises(ImbalanceError, match="finite ratio"):
        class_counts("linear", pool=[9, 9], order=(0, 1), ratio=ratio)


def test_given_counts_are_taken_in_label_order_and_checked() -> None:
    assert class_counts("counts", pool=[9, 9, 9], order=(2, 1, 0), counts=[9, 1, 3]) == (9, 1, 3)
    with pytest.raises(ImbalanceError, match=r"Class 1 needs 10 samples and has 9"):
        class_counts("counts", pool=[9, 9], order=(0, 1), counts=[9, 10])
    for counts in ([1, 2, 3], [1, 0], None):
        with pytest.raises(ImbalanceError, match="2 counts of at least 1"):
            class_counts("counts", pool=[9, 9], order=(0, 1), counts=counts)


def test_natural_counts_are_the_pool() -> None:
    assert class_counts("natural", pool=[7, 3, 40], order=(0, 1, 2)) == (7, 3, 40)
    with pytest.raises(ImbalanceError, match="Class 1 needs 1 samples and has 0"):
        class_counts("natural", pool=[7, 0], order=(0, 1))


def test_measured_ratio_is_what_truncation_left() -> None:
    assert measured_ratio((5000, 83, 50)) == 100


def test_class_orders() -> None:
    assert class_order("label", classes=4, seed=1) == (0, 1, 2, 3)
    assert class_order("reversed", classes=4, seed=1) == (3, 2, 1, 0)
    shuffled = class_order("shuffled", classes=50, seed=1)
    assert sorted(shuffled) == list(range(50))
    assert shuffled == class_order("shuffled", classes=50, seed=1) != class_order("shuffled", classes=50, seed=2)


@pytest.mark.parametrize("ratio", [1, 10, 30, 100, 250])
def test_pixels_fall_as_the_profile_says_and_fill_the_images(ratio: float) -> None:
    counts = pixel_counts("exponential", pixels=921_600, classes=4, ratio=ratio)
    assert sum(counts) == 921_600
    assert counts[0] / counts[3] == pytest.approx(ratio, rel=0.002)
    assert counts[0] / counts[1] == pytest.approx(ratio ** (1 / 3), rel=0.002)


@pytest.mark.parametrize(
    ("profile", "ratio", "field", "message"),
    [
        ("natural", 10, "imbalance.profile", "Pixels are made by a ratio"),
        ("counts", 10, "imbalance.profile", "Pixels are made by a ratio"),
        ("exponential", 1000, "imbalance.ratios", "smallest class would have 4 of 5120 pixels"),
    ],
)
def test_pixels_that_cannot_be_made_are_refused(profile: Profile, ratio: float, field: str, message: str) -> None:
    with pytest.raises(ImbalanceError, match=message) as refused:
        pixel_counts(profile, pixels=5120, classes=4, ratio=ratio)
    assert refused.value.problem.field == field
