"""From a table's columns to float32 features; whatever is fitted is fitted on the training pool alone."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ..errors import DatasetError
from .raw import Encoded

MAX_LEVELS = 100
LARGEST = float(np.finfo(np.float32).max)

Floats = NDArray[np.float64]
Mask = NDArray[np.bool_]


@dataclass(frozen=True, slots=True, eq=False)
class _Feature:
    name: str
    values_N: Floats


def standardised(values_NF: Floats, pool_N: Mask) -> Floats:
    """Features with mean 0 and deviation 1 over the pool; one that is constant there is only centred."""
    pool_NF = values_NF[pool_N]
    # The deviation of equal values may be a rounding error, which would blow up what differs elsewhere.
    scale_F: Floats = np.where(np.ptp(pool_NF, axis=0) > 0, pool_NF.std(axis=0), 1.0)
    scaled_NF: Floats = (values_NF - pool_NF.mean(axis=0)) / scale_F
    return scaled_NF


def encode_table(table: pd.DataFrame, pool_N: Mask, *, dataset: str) -> Encoded:
    """Features of all rows (N, F), given which rows are the training pool.

    - numbers: standardised; a missing one is the pool's median, and says so in a feature of its own;
    - booleans: 0 or 1, missing ones as with numbers;
    - strings and categories: one feature a level of the pool; one more for what is missing or no level of the
      pool, where that varies within the pool.

    What is constant in the pool is left out, and said in the notes. Raises DatasetError for columns of any
    other type, with infinite numbers, or with more than 100 levels.
    """
    features: list[_Feature] = []
    constant: list[str] = []
    for name in table.columns:
        made = _encoder(table[name], dataset=dataset)(table[name], pool_N, dataset)
        varying = [feature for feature in made if np.ptp(feature.values_N[pool_N]) > 0]
        features += varying
        if not varying:
            constant.append(str(name))
    if not features:
        raise DatasetError(
            f"no feature is left (constant: {', '.join(constant) or 'none'}). Expected a column that varies.",
            dataset=dataset,
        )
    left_out = (f"Left out as constant: {', '.join(constant)}.",) if constant else ()
    return Encoded(
        inputs=np.stack([feature.values_N for feature in features], axis=1).astype(np.float32),
        columns=tuple(feature.name for feature in features),
        notes=(
            "Numbers are standardised over the training pool, categories are one feature a level.",
            *left_out,
        ),
    )


_Encoder = Callable[[pd.Series, Mask, str], Sequence[_Feature]]


def _encoder(column: pd.Series, *, dataset: str) -> _Encoder:
    kind = pd.api.types.infer_dtype(column, skipna=True)
    encoders: dict[str, _Encoder] = {
        "integer": _numbers,
        "floating": _numbers,
        "mixed-integer-float": _numbers,
        "decimal": _numbers,
        "boolean": _booleans,
        "string": _levels,
        "categorical": _levels,
        "empty": _numbers,
    }
    if kind not in encoders:
        raise DatasetError(
            f"the column {column.name!r} holds values of the type {kind}. Expected numbers, booleans or"
            " strings: convert it,"
            f' or leave it out by drop = ["{column.name}"] in dataset.toml.',
            dataset=dataset,
        )
    return encoders[kind]


def _numbers(column: pd.Series, pool_N: Mask, dataset: str) -> Sequence[_Feature]:
    values_N = column.to_numpy(dtype=np.float64, na_value=np.nan)
    infinite = np.count_nonzero(np.abs(values_N) > LARGEST)
    if infinite:
        raise DatasetError(
            f"the column {column.name!r} has {infinite} infinite values (or beyond {LARGEST:.0e}). Expected"
            " numbers, or nothing where one is missing.",
            dataset=dataset,
        )
    filled_N, missing = _filled(str(column.name), values_N, pool_N)
    return [_Feature(str(column.name), standardised(filled_N, pool_N)), *missing]


def _booleans(column: pd.Series, pool_N: Mask, dataset: str) -> Sequence[_Feature]:
    zero_or_one = column.astype(object).map({True: 1.0, False: 0.0})
    values_N = np.asarray(zero_or_one.to_numpy(dtype=np.float64, na_value=np.nan), dtype=np.float64)
    filled_N, missing = _filled(str(column.name), values_N, pool_N)
    return [_Feature(str(column.name), filled_N), *missing]


def _filled(name: str, values_N: Floats, pool_N: Mask) -> tuple[Floats, Sequence[_Feature]]:
    missing_N = np.isnan(values_N)
    if not missing_N.any():
        return values_N, ()
    known = values_N[pool_N & ~missing_N]
    filled_N = np.where(missing_N, np.median(known) if len(known) else 0.0, values_N)
    return filled_N, (_Feature(f"{name} is missing", missing_N.astype(np.float64)),)


def _levels(column: pd.Series, pool_N: Mask, dataset: str) -> Sequence[_Feature]:
    texts = column.astype(object).map(str, na_action="ignore")
    levels = sorted(texts[pool_N].dropna().unique())
    if len(levels) > MAX_LEVELS:
        raise DatasetError(
            f"the column {column.name!r} has {len(levels)} different strings. Expected at most {MAX_LEVELS}"
            " categories: if it"
            f' is a name, a date or a text, leave it out by drop = ["{column.name}"] in dataset.toml.',
            dataset=dataset,
        )
    features = [_Feature(f"{column.name}={level}", (texts == level).to_numpy(dtype=np.float64)) for level in levels]
    other_N = ~texts.isin(levels).to_numpy()
    if other_N.any():
        features.append(_Feature(f"{column.name} is missing or other", other_N.astype(np.float64)))
    return features
