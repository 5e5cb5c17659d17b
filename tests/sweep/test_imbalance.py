"""Class counts against published tables, and what a split promises."""

import hashlib
import struct

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sweep.errors import ImbalanceError
from sweep.imbalance import (
    Scheme,
    class_counts,
    class_order,
    default_validation_size,
    exponential,
    index_hash,
    linear,
    measured_ratio,
    split,
    step,
    stratified_sizes,
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
SCHEMES: tuple[Scheme, ...] = ("balanced_holdout", "stratified_holdout")


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
    with pytest.raises(ImbalanceError, match=r"ratio 50 .* 49 samples .* ratio of at most 48") as caught:
        class_counts("step", pool=[49, 60], order=(0, 1), ratio=50)
    assert caught.value.problem.field == "imbalance.ratios"
    assert min(class_counts("step", pool=[49, 60], order=(0, 1), ratio=48)) == 1


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


@pytest.mark.parametrize(("smallest", "size"), [(2, 1), (4, 1), (9, 1), (10, 2), (2499, 499), (2500, 500), (6000, 500)])
def test_default_validation_is_a_fifth_of_the_smallest_class_within_bounds(smallest: int, size: int) -> None:
    assert default_validation_size([smallest + 50, smallest]) == size


def test_stratified_sizes_keep_one_sample_on_either_side() -> None:
    assert stratified_sizes([2, 4, 10, 100], fraction=0.2) == (1, 1, 2, 20)
    with pytest.raises(ImbalanceError, match=r"Class 1 has 1 of the 2 samples"):
        stratified_sizes([10, 1], fraction=0.2)


def labels(pool: list[int], seed: int = 0) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
    return np.random.default_rng(seed).permutation(np.repeat(np.arange(len(pool)), pool))


@given(
    pool=st.lists(st.integers(12, 60), min_size=2, max_size=6),
    ratios=st.tuples(st.floats(1, 5), st.floats(1, 5)),
    scheme=st.sampled_from(SCHEMES),
    seed=st.integers(0, 2**31),
)
def test_a_split_is_exact_disjoint_sorted_and_nested(
    pool: list[int], ratios: tuple[float, float], scheme: Scheme, seed: int
) -> None:
    label_N = labels(pool)
    parts = []
    for ratio in sorted(ratios):
        counts = exponential(10, classes=len(pool), ratio=ratio)
        part = split(label_N, counts=counts, scheme=scheme, per_class=2, seed=seed)
        held = (2,) * len(pool) if scheme == "balanced_holdout" else stratified_sizes(counts, fraction=0.2)
        trained = counts if scheme == "balanced_holdout" else tuple(np.subtract(counts, held).tolist())
        assert tuple(np.bincount(label_N[part.train]).tolist()) == trained
        assert tuple(np.bincount(label_N[part.validation]).tolist()) == held
        for index in (part.train, part.validation):
            assert index.dtype == np.int64
            assert (np.diff(index) > 0).all()
        parts.append(part)
    low, high = parts
    assert set(high.train) <= set(low.train)
    assert set(high.validation) <= set(low.validation)
    assert not set(low.train) & (set(low.validation) | set(high.validation))


def test_validation_of_a_balanced_holdout_is_the_same_at_every_ratio() -> None:
    label_N = labels([50, 60, 70])
    parts = [split(label_N, counts=(40, n, 2), per_class=10, seed=5) for n in (40, 3)]
    assert (parts[0].validation == parts[1].validation).all()
    assert len(parts[0].validation) == 30


def test_default_validation_of_a_split_is_the_default_size() -> None:
    assert len(split(labels([50, 60]), counts=(4, 4), seed=0).validation) == 20


@pytest.mark.parametrize("scheme", SCHEMES)
def test_a_split_depends_on_its_seed_alone(scheme: Scheme) -> None:
    label_N = labels([200, 200])
    one, again, other = (split(label_N, counts=(100, 10), scheme=scheme, seed=seed) for seed in (1, 1, 2))
    assert index_hash(one.train) == index_hash(again.train) != index_hash(other.train)
    assert index_hash(one.validation) == index_hash(again.validation) != index_hash(other.validation)


def test_a_split_of_all_there_is_uses_every_sample_once() -> None:
    label_N = labels([30, 12])
    part = split(label_N, counts=(25, 7), per_class=5, seed=3)
    assert sorted([*part.train, *part.validation]) == list(range(42))


@pytest.mark.parametrize("scheme", SCHEMES)
def test_a_split_that_needs_more_samples_than_there_are_is_refused(scheme: Scheme) -> None:
    with pytest.raises(ImbalanceError, match=r"Class 1 needs \d+ samples and has 12"):
        split(labels([30, 12]), counts=(5, 13), scheme=scheme, per_class=1, seed=0)


def test_index_hash_is_sha256_over_little_endian_int64() -> None:
    expected = hashlib.sha256(struct.pack("<3q", 1, 5, 258)).hexdigest()[:16]
    assert index_hash(np.array([1, 5, 258])) == expected
