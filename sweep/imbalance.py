"""How many samples each class keeps under a profile and a ratio; which samples those are is said in `split`.

A count speaks of training samples; a pool is all that they may be drawn from.
Counts are truncated, never rounded, as in the code of Cui et al. (CVPR 2019) and Cao et al. (LDAM, NeurIPS
2019), so that subsets have the sizes that papers print. An order of classes runs from head (most) to tail.
"""

from collections.abc import Callable, Sequence
from typing import Literal

import numpy as np

from .errors import ImbalanceError

Profile = Literal["exponential", "step", "linear", "counts", "natural"]
ClassOrder = Literal["label", "reversed", "shuffled"]

_FEWEST_PIXELS = 25
_ORDER_STREAM = 1
"""Every use of a seed has a stream of its own, so that none can move another (`split` has the next one)."""


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
    return (n_max,) * (classes - few) + (int(n_max / ratio),) * few


def linear(n_max: int, *, classes: int, ratio: float) -> tuple[int, ...]:
    """Counts from head to tail that fall evenly from `n_max` to `int(n_max / ratio)` (Buda et al., 2018).

    >>> linear(5000, classes=10, ratio=10)
    (5000, 4500, 4000, 3500, 3000, 2500, 2000, 1500, 1000, 500)
    """
    last, (over, under) = classes - 1, ratio.as_integer_ratio()  # in floats, 4500 may be truncated to 4499
    body = tuple(n_max * ((last - c) * over + c * under) // (last * over) for c in range(last))
    return (*body, int(n_max / ratio))


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
    require_samples(pool, needed=[max(count, 1) for count in made], field=field)
    return made


def pixel_counts(
    profile: Profile, *, pixels: int, classes: int, ratio: float, minority: float = 0.5
) -> tuple[int, ...]:
    """Counts from head to tail that fall as the profile says and fill `pixels` in all, the background first.

    Raises ImbalanceError where a class would have fewer than 25 pixels, or the profile has no formula.
    """
    if profile in ("natural", "counts"):
        raise ImbalanceError(
            f"Pixels are made by a ratio, and profile {profile} has none.",
            expected="exponential, step or linear with ratios: this data set is made to order",
            field="imbalance.profile",
        )
    shape = _falling(profile, classes=classes, ratio=ratio, n_max=pixels, minority=minority)
    largest = pixels * pixels // sum(shape)
    made = _falling(profile, classes=classes, ratio=ratio, n_max=largest, minority=minority)
    if min(made) < _FEWEST_PIXELS:
        raise ImbalanceError(
            f"At ratio {ratio:g} the smallest class would have {min(made)} of {pixels} pixels.",
            expected=f"at least {_FEWEST_PIXELS}: a lower ratio, more images or larger ones",
            field="imbalance.ratios",
        )
    return (made[0] + pixels - sum(made), *made[1:])


def measured_ratio(counts: Sequence[int]) -> float:
    """Largest over smallest count: what truncation made of the ratio that was asked for."""
    return max(counts) / min(counts)


def class_order(kind: ClassOrder, *, classes: int, seed: int) -> tuple[int, ...]:
    """Labels from head to tail; `shuffled` is the permutation that `seed` fixes."""
    if kind == "shuffled":
        return tuple(np.random.default_rng([seed, _ORDER_STREAM]).permutation(classes).tolist())
    labels = tuple(range(classes))
    return labels if kind == "label" else labels[::-1]


def require_samples(available: Sequence[int], *, needed: Sequence[int], field: str) -> None:
    """Raises ImbalanceError, naming `field`, where a class has fewer samples than it needs."""
    lacking = [label for label, (has, needs) in enumerate(zip(available, needed, strict=True)) if has < needs]
    if lacking:
        first = lacking[0]
        others = f" ({len(lacking)} classes lack samples)" if len(lacking) > 1 else ""
        raise ImbalanceError(
            f"Class {first} needs {needed[first]} samples and has {available[first]}{others}.",
            expected="no class to need more than it has: ask for fewer samples, or add data",
            field=field,
        )


def _falling(
    profile: Profile,
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
