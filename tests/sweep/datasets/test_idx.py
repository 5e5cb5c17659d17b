"""Files in the form of MNIST."""

import gzip
import re
import struct
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from sweep.datasets import Dataset, Datasets
from sweep.errors import DatasetError

DEBIAN = Path("/usr/share/datasets/fashion-mnist")
IMAGES = np.random.default_rng(0).integers(0, 256, (40, 28, 28), dtype=np.uint8)
LABELS = np.tile(np.arange(10, dtype=np.uint8), 4)


def idx_bytes(array: NDArray[np.uint8]) -> bytes:
    return struct.pack(f">BBBB{array.ndim}I", 0, 0, 8, array.ndim, *array.shape) + array.tobytes()


def write_set(folder: Path, *, packed: bool = False) -> None:
    folder.mkdir(parents=True)
    files = {
        "train-images-idx3-ubyte": IMAGES,
        "train-labels-idx1-ubyte": LABELS,
        "t10k-images-idx3-ubyte": IMAGES[:20],
        "t10k-labels-idx1-ubyte": LABELS[:20],
    }
    for name, array in files.items():
        content = idx_bytes(array)
        (folder / f"{name}{'.gz' * packed}").write_bytes(gzip.compress(content) if packed else content)


@pytest.mark.parametrize("packed", [True, False])
@pytest.mark.parametrize("place", ["mnist", "MNIST/raw"])
def test_mnist_files_are_found_and_read(
    tmp_path: Path, load: Callable[[str], Dataset], place: str, packed: bool
) -> None:
    write_set(tmp_path / "datasets" / place, packed=packed)
    dataset = load("mnist")
    assert dataset.info.shape == (1, 28, 28)
    assert dataset.info.classes == tuple("0123456789")
    assert dataset.info.test_counts == (2,) * 10
    np.testing.assert_array_equal(dataset.train_inputs[:, 0], IMAGES)
    np.testing.assert_array_equal(dataset.test_labels, LABELS[:20])


def test_fashion_mnist_shows_the_names_of_its_classes(tmp_path: Path) -> None:
    write_set(tmp_path / "datasets" / "fashion_mnist")
    info = Datasets(tmp_path).info("fashion_mnist")
    assert (info.classes[0], info.classes[9], info.kind) == ("T-shirt/top", "Ankle boot", "image")


def test_absent_files_are_named_with_their_place(tmp_path: Path) -> None:
    place = tmp_path / "datasets" / "mnist"
    with pytest.raises(DatasetError, match=rf"t10k-labels-idx1-ubyte .*into {re.escape(str(place))}"):
        Datasets(tmp_path).info("mnist")


def test_damaged_files_are_refused_by_name(tmp_path: Path) -> None:
    folder = tmp_path / "datasets" / "mnist"
    write_set(folder, packed=True)
    labels = folder / "train-labels-idx1-ubyte.gz"
    for content, problem in [
        (labels.read_bytes()[:-12], "cannot be unpacked"),
        (b"no gzip", "cannot be unpacked"),
        (gzip.compress(idx_bytes(IMAGES)), "no idx file of bytes in 1 dimensions"),
        (gzip.compress(idx_bytes(LABELS)[:-1]), "holds 39 values, expected 40"),
        (gzip.compress(idx_bytes(LABELS[:-1])), "40 images, expected one for each of 39 labels"),
    ]:
        labels.write_bytes(content)
        with pytest.raises(DatasetError, match=problem):
            Datasets(tmp_path).info("mnist")


@pytest.mark.skipif(not DEBIAN.is_dir(), reason="needs Debian's dataset-fashion-mnist")
def test_the_real_fashion_mnist_is_read_from_debians_folder(tmp_path: Path) -> None:
    dataset = Datasets(tmp_path).load("fashion_mnist")
    assert dataset.info.pool_counts == (6000,) * 10
    assert dataset.info.test_counts == (1000,) * 10
    assert dataset.train_labels[:5].tolist() == [9, 0, 0, 3, 0]
    assert dataset.train_inputs.mean() / 255 == pytest.approx(0.2860, abs=1e-4)
