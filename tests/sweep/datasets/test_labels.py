"""Class numbers and names from labels of any type."""

import numpy as np
import pytest
from numpy.typing import NDArray

from sweep.datasets.labels import MAX_CLASSES, encode_labels, set_aside
from sweep.errors import DatasetError


@pytest.mark.parametrize(
    ("labels", "numbers", "names"),
    [
        (np.array([10, 2, -3, 2]), [2, 1, 0, 1], ("-3", "2", "10")),
        (np.array([5.0, 1.0]), [1, 0], ("1", "5")),
        (np.array(["10", "9", "9"]), [1, 0, 0], ("9", "10")),
        (np.array([True, False]), [1, 0], ("False", "True")),
        (np.array(["über", "zu Haus", "a/b"]), [2, 1, 0], ("a/b", "zu Haus", "über")),
        (np.array([b"b", b"a"]), [1, 0], ("a", "b")),
        (np.array(["NA", "None"], dtype=object), [0, 1], ("NA", "None")),
        (np.array([300, 7], dtype=np.uint16), [1, 0], ("7", "300")),
    ],
)
def test_numbers_ascend_and_anything_else_is_sorted_as_strings(
    labels: NDArray[np.generic], numbers: list[int], names: tuple[str, ...]
) -> None:
    got, classes = encode_labels(labels, classes=None, dataset="d")
    assert (got.tolist(), classes) == (numbers, names)
    assert got.dtype == np.int64


def test_given_classes_are_an_order_where_they_are_the_labels() -> None:
    got, classes = encode_labels(np.array([1, 2, 3]), classes=("3", "1", "2"), dataset="d")
    assert (got.tolist(), classes) == ([1, 2, 0], ("3", "1", "2"))


def test_given_classes_are_names_where_labels_are_their_numbers() -> None:
    got, classes = encode_labels(np.array([1, 0]), classes=("cat", "dog"), dataset="d")
    assert (got.tolist(), classes) == ([1, 0], ("cat", "dog"))


@pytest.mark.parametrize(
    ("labels", "classes", "problem"),
    [
        (np.array([0.5, 1.0]), None, "no whole numbers below 2.53, but numbers from 0.5 to 1"),
        (np.array([0.0, np.inf]), None, "no whole numbers"),
        (np.array([2**63 + 5, 1], dtype=np.uint64), None, "no whole numbers"),
        (np.array([1e300, 1]), None, "no whole numbers"),
        (np.array([1j, 1]), None, "no whole numbers"),
        (np.array([0.0, np.nan, np.nan]), None, r"2 labels are missing, in samples 2, 3"),
        (np.array(["a", None, "b"], dtype=object), None, r"1 labels are missing, in samples 2"),
        (np.array(["a", ""]), None, r"1 labels are missing, in samples 2"),
        (np.array([4, 4]), None, r"it has 1 classes \('4'\)"),
        (np.array([]), None, r"it has 0 classes"),
        (np.array(["a", "b"]), ("a", "c"), "labels 'b' are not among the given classes 'a', 'c'"),
        (np.array([0, 2]), ("a", "b"), "labels '0', '2' are not among"),
        (np.array(["a", "b"]), ("a", "b", "b"), "repeat a name"),
        (np.array(["a", "b" * 201]), None, "201 characters"),
        (np.arange(MAX_CLASSES + 1), None, "10001 different labels"),
    ],
)
def test_labels_that_name_no_classes_are_refused(
    labels: NDArray[np.generic], classes: tuple[str, ...] | None, problem: str
) -> None:
    with pytest.raises(DatasetError, match=problem):
        encode_labels(labels, classes=classes, dataset="d")


def test_the_part_set_aside_is_stratified_and_always_the_same() -> None:
    labels = np.repeat(np.arange(3), [3, 10, 100])
    mask = set_aside(labels, classes=3, fraction=0.2)
    assert np.bincount(labels[mask]).tolist() == [1, 2, 20]
    assert (mask == set_aside(labels, classes=3, fraction=0.2)).all()
