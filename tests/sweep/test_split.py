"""What a split promises: exact, disjoint, nested, and by its seed alone; for samples and for images with masks."""

import hashlib
import struct

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sweep.errors import ImbalanceError
from sweep.imbalance import exponential
from sweep.split import (
    Scheme,
    default_validation_size,
    index_hash,
    share_deviation,
    split,
    split_images,
    stratified_sizes,
)

SCHEMES: tuple[Scheme, ...] = ("balanced_holdout", "stratified_holdout")


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


def test_images_validate_by_the_rarest_class_that_they_show() -> None:
    counts_NC = np.array([[9, 0, 0]] * 10 + [[5, 4, 0]] * 5 + [[3, 3, 3]] * 5)
    for seed in range(5):
        made = split_images(counts_NC, fraction=0.2, seed=seed)
        assert sorted([*made.train, *made.validation]) == list(range(20))
        groups = np.digitize(made.validation, [10, 15])
        assert np.bincount(groups).tolist() == [2, 1, 1]
    one, again, other = (split_images(counts_NC, fraction=0.2, seed=seed) for seed in (0, 0, 1))
    assert one.validation.tolist() == again.validation.tolist() != other.validation.tolist()


def test_images_that_cannot_show_every_class_to_both_parts_are_refused() -> None:
    # Only one of three images shows the third class.
    with pytest.raises(ImbalanceError, match="so that both parts show every class"):
        split_images(
            np.array([[9, 0, 0], [9, 0, 0], [8, 1, 0], [8, 0, 1]])[[0, 0, 1]] * [1, 0, 1], fraction=0.5, seed=0
        )


@pytest.mark.parametrize(("images", "rare_in"), [(60, 12), (200, 35)])
def test_training_shares_are_within_5_percent_of_the_pools_whatever_the_seed(images: int, rare_in: int) -> None:
    random = np.random.default_rng(0)
    counts_NC = np.stack([np.full(images, 2000), random.integers(20, 80, images)], axis=1)
    counts_NC[rare_in:, 1] = 0
    for seed in range(20):
        train_C = counts_NC[split_images(counts_NC, fraction=0.2, seed=seed).train].sum(axis=0)
        assert share_deviation(train_C, counts_NC.sum(axis=0)) <= 0.05


def test_images_without_a_labelled_pixel_take_no_part_of_the_rare_ones_group() -> None:
    counts_NC = np.array([[50, 4]] * 10 + [[0, 0]] * 60)
    for seed in range(10):
        made = split_images(counts_NC, fraction=0.2, seed=seed)
        assert counts_NC[made.validation, 1].sum() == 8
