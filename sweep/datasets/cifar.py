"""Reads CIFAR-10 and CIFAR-100 from their binary version; the Python version is pickles, never loaded."""

from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ..errors import DatasetError
from .raw import Encoded, Raw, Source, first_then_test

_PIXELS = 3 * 32 * 32


@dataclass(frozen=True, slots=True, kw_only=True)
class CifarSet:
    """One of the two: its files, and how many labels precede an image's pixels (the last of them counts)."""

    name: str
    places: tuple[str, ...]
    train: tuple[str, ...]
    test: str
    names: str
    labels: int
    archive: str
    pickled: str
    """The folder of the Python version, which is refused by name."""
    source: str


CIFAR10 = CifarSet(
    name="cifar10",
    places=("cifar10", "cifar-10-batches-bin", "cifar10/cifar-10-batches-bin"),
    train=tuple(f"data_batch_{batch}.bin" for batch in range(1, 6)),
    test="test_batch.bin",
    names="batches.meta.txt",
    labels=1,
    archive="cifar-10-binary.tar.gz",
    pickled="cifar-10-batches-py",
    source="CIFAR-10 (Krizhevsky, 2009): colour pictures, 32 x 32.",
)
CIFAR100 = CifarSet(
    name="cifar100",
    places=("cifar100", "cifar-100-binary", "cifar100/cifar-100-binary"),
    train=("train.bin",),
    test="test.bin",
    names="fine_label_names.txt",
    labels=2,
    archive="cifar-100-binary.tar.gz",
    pickled="cifar-100-python",
    source="CIFAR-100 (Krizhevsky, 2009): colour pictures, 32 x 32, with their fine labels.",
)


def cifar_source(row: CifarSet, folder: Path) -> Source:
    """The first place that holds all files of the binary version.

    Raises DatasetError, saying which files are missing and where to put them, if none does.
    """
    needed = (*row.train, row.test, row.names)
    for place in row.places:
        files = tuple(folder / place / name for name in needed)
        if all(file.is_file() for file in files):
            return Source(name=row.name, files=files, read=partial(_read, row, files))
    pickled = any((place / row.pickled).is_dir() for place in (folder, folder / row.name))
    why = " The Python version that is there holds pickles, which can run code and are never loaded." if pickled else ""
    raise DatasetError(
        f"its files are not there.{why} Put {', '.join(needed)} of the binary version ({row.archive}, at"
        f" www.cs.toronto.edu/~kriz/cifar.html) into {folder / row.places[0]}.",
        dataset=row.name,
    )


def _read(row: CifarSet, files: tuple[Path, ...]) -> Raw:
    *train, test, names = files
    classes = tuple(names.read_text(encoding="utf-8").split("\n"))
    records = [_records(path, row) for path in (*train, test)]
    testing = len(records[-1])
    all_NR = np.concatenate(records)
    return Raw(
        kind="image",
        labels_N=all_NR[:, row.labels - 1],
        encode=lambda is_test_N: Encoded(inputs=all_NR[:, row.labels :].reshape(-1, 3, 32, 32)),
        is_test_N=first_then_test(len(all_NR) - testing, testing),
        classes=tuple(name.strip() for name in classes if name.strip()),
        source=row.source,
    )


def _records(path: Path, row: CifarSet) -> NDArray[np.uint8]:
    content = np.frombuffer(path.read_bytes(), dtype=np.uint8)
    size = row.labels + _PIXELS
    if not len(content) or len(content) % size:
        raise DatasetError(
            f"{path} has {len(content)} bytes, expected a multiple of {size} ({row.labels} of label,"
            f" {_PIXELS} of pixels). Get the file anew.",
            dataset=row.name,
        )
    return content.reshape(-1, size)
