"""A user's .npz file."""

import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import ArrayLike, NDArray

from sweep.datasets import Dataset
from sweep.errors import DatasetError

Load = Callable[[str], Dataset]
Y = np.tile([0, 1], 10)
RANDOM = np.random.default_rng(0)
GREY = RANDOM.integers(0, 256, (20, 8, 9), dtype=np.uint8)


def test_vectors_are_standardised_over_the_pool(own: Path, load: Load) -> None:
    np.savez(own / "d.npz", x=RANDOM.normal(500, 90, (20, 3)), y=Y)
    dataset = load("own")
    assert (dataset.info.kind, dataset.info.shape) == ("vector", (3,))
    assert dataset.train_inputs.dtype == np.float32
    np.testing.assert_allclose(dataset.train_inputs.mean(axis=0), 0, atol=1e-6)
    np.testing.assert_allclose(dataset.train_inputs.std(axis=0), 1, atol=1e-6)


def test_a_constant_feature_stays_and_is_zero_where_it_is_constant(own: Path, load: Load) -> None:
    x = np.stack([np.arange(20.0), np.full(20, 0.1)], axis=1)
    np.savez(own / "d.npz", x=x, y=Y)
    np.testing.assert_allclose(load("own").train_inputs[:, 1], 0, atol=1e-6)


def test_a_test_part_of_its_own_is_kept(own: Path, load: Load) -> None:
    np.savez(own / "d.npz", x=GREY, y=Y, x_test=GREY[:4], y_test=Y[:4])
    dataset = load("own")
    np.testing.assert_array_equal(dataset.train_inputs[:, 0], GREY)
    np.testing.assert_array_equal(dataset.test_inputs[:, 0], GREY[:4])
    assert "set aside" not in dataset.info.source


@pytest.mark.parametrize(
    ("images", "shape"),
    [
        (GREY, (1, 8, 9)),
        (GREY[:, None], (1, 8, 9)),
        (GREY[..., None], (1, 8, 9)),
        (np.repeat(GREY[..., None], 3, axis=3), (3, 8, 9)),
        (np.repeat(GREY[:, None], 3, axis=1), (3, 8, 9)),
        (GREY.astype(np.int64), (1, 8, 9)),
        ((GREY / 255).astype(np.float32), (1, 8, 9)),
    ],
)
def test_images_of_every_form_become_the_same_bytes(
    own: Path, load: Load, images: NDArray[np.generic], shape: tuple[int, ...]
) -> None:
    np.savez(own / "d.npz", x=images, y=Y, x_test=images, y_test=Y)
    dataset = load("own")
    assert (dataset.info.kind, dataset.info.shape) == ("image", shape)
    assert dataset.train_inputs.dtype == np.uint8
    for channel in range(shape[0]):
        np.testing.assert_array_equal(dataset.train_inputs[:, channel], GREY)


def test_classes_in_the_file_name_the_labels(own: Path, load: Load) -> None:
    np.savez(own / "d.npz", x=GREY, y=Y, classes=np.array(["Katze", "Hund"]))
    assert load("own").info.classes == ("Katze", "Hund")


def test_a_strange_set_is_read(own: Path, load: Load) -> None:
    names = np.array(["日本", "été", "a/b", "Ω ", "7", "x" * 80, "😀"])
    labels = np.repeat(names, [9, 8, 7, 6, 5, 4, 3])
    np.savez(own / "d.npz", x=RANDOM.normal(size=(len(labels), 5)), y=labels)
    info = load("own").info
    assert info.classes == tuple(sorted(names.tolist()))
    counts = {
        name: pool + test for name, pool, test in zip(info.classes, info.pool_counts, info.test_counts, strict=True)
    }
    assert (counts["日本"], counts["😀"]) == (9, 3)


@pytest.mark.parametrize(
    ("arrays", "problem"),
    [
        ({"x": GREY}, "holds x. Expected x and y"),
        ({"x": GREY, "y": Y, "x_test": GREY}, "holds x, x_test, y. Expected"),
        ({"x": GREY, "y": Y, "extra": Y}, "holds extra, x, y. Expected"),
        (
            {"x": GREY, "y": Y[:-1]},
            r"y has the shape \(19,\) and the type int64, x the shape \(20, 8, 9\). Expected y of the shape \(N,\)",
        ),
        ({"x": GREY, "y": np.eye(2)[Y]}, r"y has the shape \(20, 2\)"),
        ({"x": np.arange(20), "y": Y}, r"x has the shape \(20,\)"),
        ({"x": np.full((20, 2), "a"), "y": Y}, "x has the shape .* type <U1"),
        ({"x": np.zeros((20, 5, 6, 4)), "y": Y}, "Expected 1 or 3 channels"),
        ({"x": GREY / 2, "y": Y}, "images of float64 from 0 to 12"),
        ({"x": GREY.astype(int) - 1, "y": Y}, "images of int64 from -1 to 254"),
        ({"x": np.full((20, 2), np.nan), "y": Y}, "40 values that are NaN or infinite"),
        ({"x": np.array([[1e200], [-1e200]] * 10), "y": Y}, "20 values that are NaN or infinite"),
        ({"x": np.full((20, 2), 1j), "y": Y}, "complex numbers"),
        ({"x": GREY, "y": Y, "x_test": GREY[:, 1:], "y_test": Y}, "x_test .* inputs of one shape"),
    ],
)
def test_unfit_arrays_are_refused(own: Path, load: Load, arrays: Mapping[str, ArrayLike], problem: str) -> None:
    np.savez(own / "d.npz", allow_pickle=False, **arrays)
    with pytest.raises(DatasetError, match=problem):
        load("own")


def test_pickles_are_never_loaded(own: Path, load: Load) -> None:
    np.savez(own / "d.npz", x=GREY, y=np.array(["a", 1] * 10, dtype=object))
    with pytest.raises(DatasetError, match=r"d\.npz holds an array of objects\. .* convert them"):
        load("own")


def refused(load: Load) -> str:
    with pytest.raises(DatasetError) as error:
        load("own")
    return error.value.problem


@pytest.mark.parametrize("content", [b"", b"no archive", b"PK\x03\x04 cut short"])
def test_a_file_that_is_no_archive_is_refused(own: Path, load: Load, content: bytes) -> None:
    (own / "d.npz").write_bytes(content)
    problem = refused(load)
    assert problem.startswith("d.npz cannot be read as npz (")
    assert "it is damaged, or no npz" in problem


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
@pytest.mark.parametrize("part", range(8))
def test_a_damaged_file_is_called_damaged_and_nothing_of_pickles_is_said(
    own: Path, load: Load, save: Callable[..., None], part: int
) -> None:
    save(own / "d.npz", x=GREY, y=Y)
    content = bytearray((own / "d.npz").read_bytes())
    at = part * len(content) // 8
    content[at : at + 32] = bytes(byte ^ 0xA5 for byte in content[at : at + 32])
    (own / "d.npz").write_bytes(content)
    problem = refused(load)
    assert "it is damaged, or no npz" in problem
    assert "pickle" not in problem


def test_a_member_that_is_no_array_is_refused(own: Path, load: Load) -> None:
    with zipfile.ZipFile(own / "d.npz", "w") as archive:
        archive.writestr("x", "no array")
        archive.writestr("y", "none either")
    assert "y has the shape () and the type |S11" in refused(load)


def test_a_lone_array_is_refused(own: Path, load: Load) -> None:
    np.save(own / "d.npy", GREY)
    (own / "d.npy").rename(own / "d.npz")
    with pytest.raises(DatasetError, match=r"d\.npz cannot be read .* Expected a file of np\.savez"):
        load("own")
