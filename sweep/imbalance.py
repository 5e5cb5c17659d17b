"""How many samples each class keeps under a profile and a ratio, and which samples those are.

Shapes: N samples, C classes. A count speaks of training samples; a pool is all that they may be drawn from.
Counts are truncated, never rounded, as in the code of Cui et al. (CVPR 2019) and Cao et al. (LDAM, NeurIPS
2019), so that subsets have the sizes that papers print. An order of classes runs from head (most) to tail.
"""

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from .errors import ImbalanceError

Indices = NDArray[np.int64]
Profile = Literal["exponential", "step", "linear", "counts", "natural"]
ClassOrder = Literal["label", "reversed", "shuffled"]
Scheme = Literal["balanced_holdout", "stratified_holdout"]

# Every use of a seed has a stream of its own, so that none can move another.
_ORDER_STREAM = 1
_SUBSET_STREAM = 2


@dataclass(frozen=True, slots=True, eq=False)
class Split:
    """Which samples of the pool train and which validate: sorted, disjoint int64 indices."""

    train: Indices
    validation: Indices


def exponential(n_max: int, *, classes: int, ratio: float) -> tuple[int, ...]:
    """Counts from head to tail, `int(n_max * f**(c / (C - 1)))` with f = 1/ratio (Cui et al., 2019).

    >>> exponential(5000, classes=10, ratio=100)
    (5000, 2997, 1796, 1077, 645, 387, 232, 139, 83, 50)
    """
    return tuple(int(n_max * (1 / ratio) ** (c / (classes - 1))) for c in range(classes))


def step(n_max: int, *, classes: int, ratio: float, minority: float = 0.5) -> tuple[int, ...]:
    """Counts from head to tail: majority classes of `n_max`, then minority classes of `int(n_max / ratio)`.

    `minority` is the share of minority classes (mu of Buda et al., 2018); their number is rounded, halves up,
    and leaves at least one class on either side. 0.5 is the "step" of LDAM.

    >>> step(5000, classes=4, ratio=10)
    (5000, 5000, 500, 500)
    """
    few = min(max(int(minority * classes + 0.5), 1), classes - 1)
    return (n_max,) * (classes - few) + (int(n_max * (1 / ratio)),) * few


def linear(n_max: int, *, classes: int, ratio: float) -> tuple[int, ...]:
    """Counts from head to tail that fall evenly from `n_max` to `int(n_max / ratio)` (Buda et al., 2018).

    >>> linear(5000, classes=10, ratio=10)
    (5000, 4500, 4000, 3500, 3000, 2500, 2000, 1500, 1000, 500)
    """
    last, (over, under) = classes - 1, ratio.as_integer_ratio()  # in floats, 4500 may be truncated to 4499
    body = tuple(n_max * ((last - c) * over + c * under) // (last * over) for c in range(last))
    return (*body, int(n_max * (1 / ratio)))


def class_counts(
    profile: Profile,
    *,
    pool: Sequence[int],
    order: Sequence[int],
    ratio: float | None = None,
    n_max: int | None = None,
    minority: float = 0.5,
    counts: Sequence[int] | None = None,
) -> tuple[int, ...]:
    """Training samples of each class, in label order.

    `pool` holds the samples available by class: under a balanced holdout those that validation left, under a stratified
    one the whole class. `order` lists the classes from head to tail. `n_max` defaults to the smallest class, so that
    all ratios share one head and their subsets are nested; a larger one is allowed as long as each class has what its
    place asks for. The profile `counts` takes `counts` in label order, `natural` takes the pool as it is.

    Raises ImbalanceError, with the numbers, where a class would have no sample or has too few.
    """
    if profile == "natural":
        made, field = tuple(pool), "imbalance.profile"
    elif profile == "counts":
        made, field = _checked_counts(counts, classes=len(pool)), "imbalance.counts"
    else:
        top = min(pool) if n_max is None else n_max
        head_first = _falling(profile, classes=len(pool), ratio=ratio, n_max=top, minority=minority)
        by_label = dict(zip(order, head_first, strict=True))
        made, field = tuple(by_label[label] for label in range(len(pool))), "imbalance.n_max"
    _require_samples(pool, needed=[max(count, 1) for count in made], field=field)
    return made


def measured_ratio(counts: Sequence[int]) -> float:
    """Largest over smallest count: what truncation made of the ratio that was asked for."""
    return max(counts) / min(counts)


def class_order(kind: ClassOrder, *, classes: int, seed: int) -> tuple[int, ...]:
    """Labels from head to tail; `shuffled` is the permutation that `seed` fixes."""
    if kind == "shuffled":
        return tuple(np.random.default_rng([seed, _ORDER_STREAM]).permutation(classes).tolist())
    labels = tuple(range(classes))
    return labels if kind == "label" else labels[::-1]


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
    _require_samples(available, needed=count_C.tolist(), field="imbalance.n_max")
    drawn_N = place_N < count_C[label_N]
    return Split(
        train=np.sort(sample_N[drawn_N & ~validates_N]),
        validation=np.sort(sample_N[drawn_N & validates_N]),
    )


def index_hash(indices: Indices) -> str:
    """16 hexadecimal digits that name a set of samples: SHA-256 over the indices as little-endian int64."""
    return hashlib.sha256(np.ascontiguousarray(indices, dtype="<i8").tobytes()).hexdigest()[:16]


def _falling(
    profile: Literal["exponential", "step", "linear"],
    *,
    classes: int,
    ratio: float | None,
    n_max: int,
    minority: float,
) -> tuple[int, ...]:
    if ratio is None or not 1 <= ratio < np.inf:
        raise ImbalanceError(f"Got ratio {ratio}.", expected="a finite ratio >= 1", field="imbalance.ratios")

    def at(ratio: float) -> tuple[int, ...]:
        if profile == "step":
            return step(n_max, classes=classes, ratio=ratio, minority=minority)
        return (exponential if profile == "exponential" else linear)(n_max, classes=classes, ratio=ratio)

    made = at(ratio)
    if min(made) < 1:
        raise ImbalanceError(
            f"At ratio {ratio:g} with {n_max} samples in the largest class,"
            f" {made.count(0)} of {classes} classes would have none.",
            expected=f"a ratio of at most {_largest_ratio(at, n_max)}",
            field="imbalance.ratios",
        )
    return made


def _checked_counts(counts: Sequence[int] | None, *, classes: int) -> tuple[int, ...]:
    got = tuple(counts or ())
    if len(got) != classes or min(got) < 1:
        raise ImbalanceError(
            f"Got {len(got)} counts, {list(got)}.",
            expected=f"{classes} counts of at least 1, one a class in label order",
            field="imbalance.counts",
        )
    return got


def _largest_ratio(at: Callable[[float], tuple[int, ...]], n_max: int) -> int:
    # n_max itself may fail: 49 * (1 / 49) is just below 1.
    return next((ratio for ratio in range(n_max, 1, -1) if min(at(ratio)) >= 1), 1)


def _require_samples(available: Sequence[int], *, needed: Sequence[int], field: str) -> None:
    lacking = [label for label, (has, needs) in enumerate(zip(available, needed, strict=True)) if has < needs]
    if lacking:
        first = lacking[0]
        others = f" ({len(lacking)} classes lack samples)" if len(lacking) > 1 else ""
        raise ImbalanceError(
            f"Class {first} needs {needed[first]} samples and has {available[first]}{others}.",
            expected="no class to need more than it has: ask for fewer samples, or add data",
            field=field,
        )


def _ordered(labels_N: NDArray[np.integer], *, classes: int, seed: int) -> tuple[Indices, Indices, Indices]:
    # Each sample's place in its class's seeded order, the sample and its label; by class and place.
    shuffled_N = np.random.default_rng([seed, _SUBSET_STREAM]).permutation(len(labels_N))
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
