"""Reads MNIST and Fashion-MNIST from their idx files, gzipped or not."""

import gzip
import zlib
from dataclasses import dataclass
from functools import partial
from math import prod
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ..errors import DatasetError
from .raw import Encoded, Raw, Source, first_then_test

_FILES = (
    "train-images-idx3-ubyte",
    "train-labels-idx1-ubyte",
    "t10k-images-idx3-ubyte",
    "t10k-labels-idx1-ubyte",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class IdxSet:
    """A data set in the form of MNIST: where its four files may lie, and what its classes are called."""

    name: str
    places: tuple[str, ...]
    """Folders, in the order they are looked into; relative ones lie in the folder of data sets."""
    classes: tuple[str, ...]
    source: str
    hint: str


FASHION_MNIST = IdxSet(
    name="fashion_mnist",
    places=("fashion_mnist", "FashionMNIST/raw", "/usr/share/datasets/fashion-mnist"),
    classes=(
        "T-shirt/top",
        "Trouser",
        "Pullover",
        "Dress",
        "Coat",
        "Sandal",
        "Shirt",
        "Sneaker",
        "Bag",
        "Ankle boot",
    ),
    source="Fashion-MNIST (Xiao et al., 2017): grey pictures of clothes, 28 x 28.",
    hint="On Debian and Ubuntu, the package dataset-fashion-mnist puts them in place.",
)
MNIST = IdxSet(
    name="mnist",
    places=("mnist", "MNIST/raw"),
    classes=tuple("0123456789"),
    source="MNIST (LeCun et al., 1998): handwritten digits, 28 x 28.",
    hint="They are those of yann.lecun.com/exdb/mnist and of its mirrors.",
)


def idx_source(row: IdxSet, folder: Path) -> Source:
    """The first place that holds all four files.

    Raises DatasetError, saying which files are missing and where to put them, if none does.
    """
    for place in row.places:
        found = [_either(folder / place, name) for name in _FILES]
        files = tuple(path for path in found if path is not None)
        if len(files) == len(_FILES):
            return Source(name=row.name, files=files, read=partial(_read, row, files))
    raise DatasetError(
        f"its files are not there. Put {', '.join(_FILES)} (plain or .gz) into {folder / row.places[0]}. {row.hint}",
        dataset=row.name,
    )


def read_idx(path: Path, *, dimensions: int, dataset: str) -> NDArray[np.uint8]:
    """The array of an idx file of bytes: a magic number and sizes, four bytes each, then the values.

    Raises DatasetError where the file is damaged or of another shape.
    """
    try:
        content = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
    except (OSError, EOFError, zlib.error) as error:
        raise DatasetError(f"{path} cannot be unpacked ({error}). Get the file anew.", dataset=dataset) from error
    start = 4 + 4 * dimensions
    if content[:4] != bytes([0, 0, 8, dimensions]) or len(content) < start:
        raise DatasetError(
            f"{path} is no idx file of bytes in {dimensions} dimensions: it begins with"
            f" {content[:4].hex(' ')}, expected 00 00 08 {dimensions:02x}. Get the file anew.",
            dataset=dataset,
        )
    shape = np.frombuffer(content, dtype=">u4", offset=4, count=dimensions).tolist()
    if len(content) - start != prod(shape):
        raise DatasetError(
            f"{path} holds {len(content) - start} values, expected {prod(shape)} for the shape {shape}. Get"
            " the file anew.",
            dataset=dataset,
        )
    return np.frombuffer(content, dtype=np.uint8, offset=start).reshape(shape)


def _either(place: Path, name: str) -> Path | None:
    return next((path for path in (place / name, place / f"{name}.gz") if path.is_file()), None)


def _read(row: IdxSet, files: tuple[Path, ...]) -> Raw:
    train_images, train_labels, test_images, test_labels = (
        read_idx(path, dimensions=3 if "images" in path.name else 1, dataset=row.name) for path in files
    )
    for images, labels, path in (
        (train_images, train_labels, files[0]),
        (test_images, test_labels, files[2]),
    ):
        if len(images) != len(labels):
            raise DatasetError(
                f"{path} holds {len(images)} images, expected one for each of {len(labels)} labels. Get both"
                " files anew.",
                dataset=row.name,
            )
    return Raw(
        kind="image",
        labels_N=np.concatenate([train_labels, test_labels]),
        encode=lambda is_test_N: Encoded(inputs=np.concatenate([train_images, test_images])[:, None]),
        is_test_N=first_then_test(len(train_labels), len(test_labels)),
        classes=row.classes,
        source=row.source,
    )
