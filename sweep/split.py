"""Which samples of a pool train and which validate, by a seed.

Shapes: N samples (or images with labels by pixel), C classes.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from .errors import ImbalanceError
from .imbalance import require_samples

Indices = NDArray[np.int64]
Scheme = Literal["balanced_holdout", "stratified_holdout"]

MAX_DEVIATION = 0.05
"""Of a class's share among the training pixels from its share in the pool."""
_ORDERS = 100
_SUBSET_STREAM = 2
"""The order of samples has a random stream of its own (`imbalance` has the first one)."""


@dataclass(frozen=True, slots=True, eq=False)
class Split:
    """Which samples of the pool train and which validate: sorted, disjoint int64 indices."""

    train: Indices
    validation: Indices


def default_validation_size(pool: Sequence[int]) -> int:
    """Validation samples a class of a balanced holdout: a fifth of the smallest class, but 1 to 500."""
    return min(max(min(pool) // 5, 1), 500)


def stratified_sizes(counts: Sequence[int], *, fraction: float) -> tuple[int, ...]:
    """Validation samples of each class in a stratified holdout: `int(fraction * count)`, but at least one.

    Raises ImbalanceError where a class has fewer than two samples to share between training and validation.
    """
    if min(counts) < 2:
        raise ImbalanceError(
            f"Class {counts.index(min(counts))} has {min(counts)} of the 2 samples that it needs.",
            expected="at least 2 samples in every class (a lower ratio), or a balanced holdout",
            field="validation.scheme",
        )
    return tuple(_held_out(np.asarray(counts), fraction).tolist())


def split(
    labels_N: NDArray[np.integer],
    *,
    counts: Sequence[int],
    scheme: Scheme = "balanced_holdout",
    per_class: int | None = None,
    fraction: float = 0.2,
    seed: int,
) -> Split:
    """Which samples of a pool with these labels train and validate under a scenario's counts.

    Each class is put into an order that `seed` alone fixes, and every sample's role hangs on its place in it:

    - `balanced_holdout`: the first `per_class` of each class validate (`default_validation_size` if None),
      the next `counts[c]` train. Validation is the same at every ratio, carved before the imbalance is made.
    - `stratified_holdout`: the first `counts[c]` are drawn, and `fraction` of them, evenly spread over the
      places, validate. Validation is imbalanced as training is, and shrinks with the counts.

    Under both, the parts of a higher ratio lie within those of a lower one (where the counts do), and no
    sample trains at one ratio and validates at another.

    Raises ImbalanceError where a class has too few samples.
    """
    count_C = np.asarray(counts)
    place_N, sample_N, label_N = _ordered(labels_N, classes=len(counts), seed=seed)
    available = np.bincount(label_N, minlength=len(counts)).tolist()
    if scheme == "balanced_holdout":
        held = default_validation_size(available) if per_class is None else per_class
        count_C = count_C + held
        validates_N = place_N < held
    else:
        stratified_sizes(counts, fraction=fraction)
        validates_N = _held_out(place_N + 1, fraction) > _held_out(place_N, fraction)
    require_samples(available, needed=count_C.tolist(), field="imbalance.n_max")
    drawn_N = place_N < count_C[label_N]
    return Split(
        train=np.sort(sample_N[drawn_N & ~validates_N]),
        validation=np.sort(sample_N[drawn_N & validates_N]),
    )


def split_images(image_counts_NC: NDArray[np.integer], *, fraction: float, seed: int) -> Split:
    """Which images train and which validate, where a label is a pixel's and nothing can be dropped.

    `image_counts_NC` holds the pixels of each class in each image. Images are grouped by the rarest class that they
    show (those without a labelled pixel apart), and `fraction` of each group validates, in an order that `seed` alone
    fixes. Of a hundred such orders the first one is taken under which both parts show every class and the shares of the
    training pixels are within 5 % of the pool's; where none is as good, the best.

    Raises ImbalanceError where no order shows every class to both parts.
    """
    pool_C = image_counts_NC.sum(axis=0)
    rarest_first = np.argsort(pool_C, kind="stable")
    shown_NC = image_counts_NC[:, rarest_first] > 0
    group_N = np.where(shown_NC.any(axis=1), shown_NC.argmax(axis=1), len(pool_C))
    best: tuple[float, Split] | None = None
    for attempt in range(_ORDERS):
        made = _split_groups(group_N, fraction=fraction, groups=len(pool_C) + 1, seed=seed, attempt=attempt)
        train_C, held_C = (image_counts_NC[part].sum(axis=0) for part in (made.train, made.validation))
        if min(train_C.min(), held_C.min()) > 0:
            off = share_deviation(train_C, pool_C)
            if best is None or off < best[0]:
                best = off, made
            if off <= MAX_DEVIATION:
                break
    if best is None:
        raise ImbalanceError(
            f"No way was found to let {fraction:.0%} of {len(image_counts_NC)} images validate so that both parts show"
            " every class.",
            expected="more images of the rare classes, or another fraction",
            field="validation.fraction",
        )
    return best[1]


def share_deviation(train_C: NDArray[np.integer], pool_C: NDArray[np.integer]) -> float:
    """How far the training pixels are from the pool's at most: a class's share, or the ratio, as a part of it."""
    kept_C = train_C / pool_C
    shares = np.abs(kept_C * (pool_C.sum() / train_C.sum()) - 1).max()
    ratio = abs(kept_C[pool_C.argmax()] / kept_C[pool_C.argmin()] - 1)
    return float(max(shares, ratio))


def _split_groups(group_N: Indices, *, fraction: float, groups: int, seed: int, attempt: int) -> Split:
    place_N, image_N, _ = _ordered(group_N, classes=groups, seed=seed, attempt=attempt)
    validates_N = _held_out(place_N + 1, fraction) > _held_out(place_N, fraction)
    return Split(train=np.sort(image_N[~validates_N]), validation=np.sort(image_N[validates_N]))


def index_hash(indices: Indices) -> str:
    """16 hexadecimal digits that name a set of samples: SHA-256 over the indices as little-endian int64."""
    return hashlib.sha256(np.ascontiguousarray(indices, dtype="<i8").tobytes()).hexdigest()[:16]


def _ordered(
    labels_N: NDArray[np.integer], *, classes: int, seed: int, attempt: int = 0
) -> tuple[Indices, Indices, Indices]:
    # Each sample's place in its class's seeded order, the sample and its label; by class and place.
    shuffled_N = np.random.default_rng([seed, _SUBSET_STREAM, *([attempt] if attempt else [])]).permutation(
        len(labels_N)
    )
    # The narrowest type lets numpy sort by radix, in linear time.
    narrow_N = labels_N.astype(np.min_scalar_type(classes))[shuffled_N]
    sample_N = shuffled_N[np.argsort(narrow_N, kind="stable")]
    label_N = labels_N[sample_N].astype(np.int64)
    size_C = np.bincount(label_N, minlength=classes)
    start_C = np.cumsum(size_C) - size_C
    return np.arange(len(label_N)) - start_C[label_N], sample_N, label_N


def _held_out(size_N: Indices, fraction: float) -> Indices:
    # Of the first `size` samples of a class: none of a lone one, then the fraction, but at least one.
    return np.where(size_N < 2, 0, np.maximum((size_N * fraction).astype(np.int64), 1))
