"""Class names made fit for metric keys, and how many classes get a curve of their own."""

import re
from collections import Counter
from collections.abc import Sequence
from itertools import count

import numpy as np
from numpy.typing import NDArray

MAX_CLASS_CURVES = 50
"""Beyond this many classes a value per class is summarised: nobody reads hundreds of curves."""

_UNFIT = re.compile(r"[^0-9A-Za-z_\-. :]")
_QUANTILES = (0.1, 0.5, 0.9)


def class_keys(classes: Sequence[str]) -> tuple[str, ...]:
    """A metric key's last part for each class: its name where MLflow allows it, else with `_` for what is unfit.

    Names that would coincide get their class index behind them.
    """
    plain = [_UNFIT.sub("_", name).strip(". ") or "class" for name in classes]
    counts = Counter(plain)
    taken = {key for key in plain if counts[key] == 1}
    keys: list[str] = []
    for index, key in enumerate(plain):
        if counts[key] > 1:
            key = next(other for other in (f"{key}{'_' * more}{index}" for more in count(1)) if other not in taken)
            taken.add(key)
        keys.append(key)
    return tuple(keys)


def per_class(prefix: str, values_C: NDArray[np.floating], keys: Sequence[str]) -> dict[str, float]:
    """`prefix/<class>` for each class that has a value, or beyond 50 classes what sums them up.

    The summary holds the least, three quantiles, the largest, and the effective number of classes
    (sum v)^2 / sum v^2: C where all values are equal, 1 where one class holds everything.
    """
    if len(keys) <= MAX_CLASS_CURVES:
        return {
            f"{prefix}/{key}": float(value) for key, value in zip(keys, values_C, strict=True) if np.isfinite(value)
        }
    finite = values_C[np.isfinite(values_C)].astype(np.float64)
    if not finite.size:
        return {}
    quantiles = dict(zip((f"q{q * 100:.0f}" for q in _QUANTILES), np.quantile(finite, _QUANTILES), strict=True))
    square = float(np.square(finite).sum())
    effective = float(finite.sum()) ** 2 / square if square else 0.0
    summary = {"min": finite.min(), **quantiles, "max": finite.max(), "effective": effective}
    return {f"{prefix}/{name}": float(value) for name, value in summary.items()}
