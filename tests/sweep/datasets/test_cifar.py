"""CIFAR's binary version, in small files of the official form."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from sweep.datasets import Dataset, Datasets
from sweep.errors import DatasetError

RANDOM = np.random.default_rng(0)


def records(labels: NDArray[np.uint8]) -> tuple[NDArray[np.uint8], bytes]:
    """Images, and the bytes of a file that holds labels (N, 1 or 2) and images."""
    images = RANDOM.integers(0, 256, (len(labels), 3, 32, 32), dtype=np.uint8)
    return images, np.hstack([labels, images.reshape(len(labels), -1)]).tobytes()


@pytest.mark.parametrize("place", ["cifar10", "cifar-10-batches-bin", "cifar10/cifar-10-batches-bin"])
def test_cifar10_is_read_from_its_binary_files(tmp_path: Path, load: Callable[[str], Dataset], place: str) -> None:
    folder = tmp_path / "datasets" / place
    folder.mkdir(parents=True)
    labels = np.arange(10, dtype=np.uint8)[:, None]
    batches = [records(labels) for _ in range(6)]
    for batch, (_, content) in enumerate(batches[:5], start=1):
        (folder / f"data_batch_{batch}.bin").write_bytes(content)
    (folder / "test_batch.bin").write_bytes(batches[5][1])
    names = [f"animal {number}" for number in range(10)]
    (folder / "batches.meta.txt").write_text("\n".join(names) + "\n\n")
    dataset = load("cifar10")
    assert dataset.info.classes == tuple(names)
    assert (dataset.info.shape, dataset.info.pool_counts) == ((3, 32, 32), (5,) * 10)
    np.testing.assert_array_equal(dataset.train_inputs, np.concatenate([images for images, _ in batches[:5]]))
    np.testing.assert_array_equal(dataset.test_inputs, batches[5][0])


def write_cifar100(folder: Path) -> None:
    folder.mkdir(parents=True)
    fine = np.arange(100, dtype=np.uint8)
    labels = np.stack([fine // 5, fine], axis=1)
    (folder / "train.bin").write_bytes(records(labels)[1] + records(labels)[1])
    (folder / "test.bin").write_bytes(records(labels)[1])
    (folder / "fine_label_names.txt").write_text("\n".join(f"kind_{number}" for number in fine))


def test_cifar100_takes_the_fine_labels(tmp_path: Path) -> None:
    write_cifar100(tmp_path / "datasets" / "cifar100")
    info = Datasets(tmp_path).info("cifar100")
    assert info.classes[::99] == ("kind_0", "kind_99")
    assert info.pool_counts == (2,) * 100


def test_a_cut_file_is_refused_by_name(tmp_path: Path) -> None:
    write_cifar100(tmp_path / "datasets" / "cifar100")
    test = tmp_path / "datasets" / "cifar100" / "test.bin"
    test.write_bytes(test.read_bytes()[:-1])
    with pytest.raises(DatasetError, match=r"test\.bin has 307399 bytes, expected a multiple of 3074"):
        Datasets(tmp_path).info("cifar100")


def test_the_python_version_is_refused_since_it_is_pickles(tmp_path: Path) -> None:
    (tmp_path / "datasets" / "cifar-10-batches-py").mkdir(parents=True)
    with pytest.raises(DatasetError, match=r"pickles, which can run code.*cifar-10-binary\.tar\.gz"):
        Datasets(tmp_path).info("cifar10")
    assert "cifar-10-batches-py" not in Datasets(tmp_path).names()
