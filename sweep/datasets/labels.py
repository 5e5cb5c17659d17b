"""From labels of any type to class numbers and names, and the test part where the files have none."""

import re
from collections.abc import Sequence

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ..errors import DatasetError
from ..split import split

MAX_CLASSES = 10_000
"""More than the sets of the long-tail literature have (iNaturalist 2018: 8142)."""
_LONGEST_NAME = 200
TEST_SEED = 20210828
"""Fixed, so that everybody's test part of the same files is the same."""


def encode_labels(
    labels_N: NDArray[np.generic], *, classes: Sequence[str] | None, dataset: str
) -> tuple[NDArray[np.int64], tuple[str, ...]]:
    """Class numbers (N,) int64 and the classes' names, `str` of the label.

    Numbers are in ascending order, anything else sorted as strings. `classes` may give another order, or the
    names where labels are 0 to C - 1.

    Raises DatasetError where a label is missing or cannot name a class.
    """
    values = _plain(labels_N, dataset=dataset)
    found_N, found = pd.factorize(values)
    if len(found) > MAX_CLASSES:
        raise DatasetError(
            f"it has {len(found)} different labels. Expected at most {MAX_CLASSES} classes: is the label a"
            " measurement?",
            dataset=dataset,
        )
    present = sorted((str(value) for value in found), key=_by_number if _all_whole(found) else str)
    names = tuple(present) if classes is None else tuple(classes)
    _check_names(names, dataset=dataset)
    number = {name: position for position, name in enumerate(names)}
    if not number.keys() >= set(present):
        if not set(present) <= {str(position) for position in range(len(names))}:
            odd = [name for name in present if name not in number]
            raise DatasetError(
                f"the labels {_listed(odd)} are not among the given classes {_listed(names)}. Expected the"
                " labels themselves, in the order wanted, or one name for each of the labels 0, 1, 2, …",
                dataset=dataset,
            )
        number = {str(position): position for position in range(len(names))}
    return np.array([number[str(value)] for value in found], dtype=np.int64)[found_N], names


def set_aside(labels_N: NDArray[np.int64], *, classes: int, fraction: float) -> NDArray[np.bool_]:
    """Which samples are for testing: `fraction` of each class, at least one, by a seed that never changes."""
    counts = np.bincount(labels_N, minlength=classes).tolist()
    test = split(labels_N, counts=counts, scheme="stratified_holdout", fraction=fraction, seed=TEST_SEED)
    is_test_N = np.zeros(len(labels_N), dtype=np.bool_)
    is_test_N[test.validation] = True
    return is_test_N


def check_counts(counts: Sequence[int], *, needed: int, names: Sequence[str], where: str, dataset: str) -> None:
    """Raises DatasetError where classes have fewer than `needed` samples, with their names and numbers."""
    short = [f"{name!r} ({count})" for name, count in zip(names, counts, strict=True) if count < needed]
    if short:
        raise DatasetError(
            f"too few samples {where} in {_listed(short, quoted=False)}. Expected at least {needed} a class:"
            " add samples, or leave the class out.",
            dataset=dataset,
        )


def _plain(labels_N: NDArray[np.generic], *, dataset: str) -> NDArray[np.generic]:
    """Labels as int64, or as strings in an object array."""
    series = pd.Series(labels_N)
    missing = np.flatnonzero(series.isna().to_numpy() | (series.astype(object) == "").to_numpy())
    if len(missing):
        raise DatasetError(
            f"{len(missing)} labels are missing, in samples"
            f" {_listed([str(row + 1) for row in missing], quoted=False)} (counted from 1). Expected a label"
            " for every sample: fill them in, or remove the samples.",
            dataset=dataset,
        )
    odd = next((value for value in series if isinstance(value, (list, dict, tuple, set, np.ndarray))), None)
    if odd is not None:
        raise DatasetError(f"a label is {odd!r}. Expected strings, whole numbers or booleans.", dataset=dataset)
    if pd.api.types.is_bool_dtype(series) or not pd.api.types.is_numeric_dtype(series):
        return np.array([_text(value) for value in series.tolist()], dtype=object)
    numbers = series.to_numpy()
    if np.iscomplexobj(numbers) or not ((np.abs(numbers) < 2**53) & (numbers == np.floor(numbers))).all():
        raise DatasetError(
            f"its labels are no whole numbers below 2^53, but numbers from {numbers.min():g} to"
            f" {numbers.max():g}. Expected classes: whole numbers, strings or booleans.",
            dataset=dataset,
        )
    return numbers.astype(np.int64)


def _text(label: object) -> str:
    return label.decode("utf-8", errors="replace") if isinstance(label, bytes) else str(label)


def _all_whole(labels: Sequence[object] | NDArray[np.generic] | pd.Index) -> bool:
    return all(re.fullmatch(r"-?[0-9]+", str(label)) for label in labels)


def _by_number(name: str) -> tuple[int, str]:
    return int(name), name


def _check_names(names: Sequence[str], *, dataset: str) -> None:
    if len(names) < 2:
        raise DatasetError(
            f"it has {len(names)} classes ({_listed(names)}). Expected at least 2 different labels.", dataset=dataset
        )
    if len(set(names)) < len(names):
        raise DatasetError(f"the classes {_listed(names)} repeat a name. Expected each once.", dataset=dataset)
    odd = [name for name in names if not 0 < len(name) <= _LONGEST_NAME]
    if odd:
        raise DatasetError(
            f"{odd[0][:40]!r} has {len(odd[0])} characters. Expected labels of 1 to {_LONGEST_NAME} characters.",
            dataset=dataset,
        )


def _listed(items: Sequence[str], *, quoted: bool = True) -> str:
    shown = [repr(item) if quoted else item for item in items[:10]]
    return ", ".join(shown) + (f" and {len(items) - 10} more" if len(items) > 10 else "")
