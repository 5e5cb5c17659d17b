"""Writes images with one label a pixel as arrays, one image after the other: a set may be larger than memory."""

import shutil
from pathlib import Path

import numpy as np
from numpy.lib.format import open_memmap
from numpy.typing import NDArray

from ..errors import DatasetError, ImbalanceError
from ..split import split_images
from .content import content_hash
from .dataset import IGNORED, DatasetInfo
from .labels import TEST_SEED
from .raw import DenseRaw, Source

_FEWEST = 3
"""Images that show a class: one each to train, validate and test."""


def write_dense(raw: DenseRaw, folder: Path, *, source: Source, fingerprint: str) -> DatasetInfo:
    """Writes the arrays of a dense data set into `folder`; answers its facts.

    Raises DatasetError where a class cannot be learned for lack of pixels.
    """
    image_counts_NC = np.array([_class_pixels(raw.mask(index), len(raw.classes)) for index in range(raw.images)])
    _check_images(image_counts_NC, raw, dataset=source.name)
    is_test_N = raw.is_test_N
    if is_test_N is None:
        try:
            aside = split_images(image_counts_NC, fraction=raw.test_fraction, seed=TEST_SEED)
        except ImbalanceError as error:
            raise DatasetError(
                f"no test images can be set aside: {error.problem.problem}", dataset=source.name
            ) from error
        is_test_N = np.zeros(raw.images, dtype=np.bool_)
        is_test_N[aside.validation] = True
    _check_disk(raw, folder, dataset=source.name)
    arrays = [
        array
        for part, index in (("train", np.flatnonzero(~is_test_N)), ("test", np.flatnonzero(is_test_N)))
        for array in _write_part(raw, folder, part=part, index=index)
    ]
    np.save(folder / "image_counts.npy", image_counts_NC[~is_test_N], allow_pickle=False)
    note = f" {raw.test_fraction:.0%} of the images, always the same, are set aside." if raw.is_test_N is None else ""
    return DatasetInfo(
        name=source.name,
        kind="dense",
        classes=raw.classes,
        shape=raw.shape,
        pool_counts=tuple(image_counts_NC[~is_test_N].sum(axis=0).tolist()),
        test_counts=tuple(image_counts_NC[is_test_N].sum(axis=0).tolist()),
        source=raw.source + note,
        fingerprint=fingerprint,
        content=content_hash(arrays, raw.classes),
        is_made_to_order=bool(source.variant),
    )


def _class_pixels(mask_HW: NDArray[np.uint8], classes: int) -> NDArray[np.int64]:
    return np.bincount(mask_HW.ravel(), minlength=IGNORED + 1)[:classes]


def _check_images(image_counts_NC: NDArray[np.int64], raw: DenseRaw, *, dataset: str) -> None:
    images_C = (image_counts_NC > 0).sum(axis=0)
    short = [f"{name!r} ({images})" for name, images in zip(raw.classes, images_C, strict=True) if images < _FEWEST]
    if short:
        raise DatasetError(
            f"too few images show {', '.join(short[:10])}. Expected each class in at least {_FEWEST} images, to train,"
            " validate and test: add images, or leave the class out.",
            dataset=dataset,
        )


def _check_disk(raw: DenseRaw, folder: Path, *, dataset: str) -> None:
    # Writing to a mapped file on a full disk would end the process instead of raising an error.
    channels, height, width = raw.shape
    needed, free = raw.images * (channels + 1) * height * width, shutil.disk_usage(folder).free
    if needed > free:
        raise DatasetError(
            f"its prepared form needs {needed / 2**20:.0f} MiB, and {free / 2**20:.0f} MiB of disk are free.",
            dataset=dataset,
        )


def _write_part(
    raw: DenseRaw, folder: Path, *, part: str, index: NDArray[np.int64]
) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    channels, height, width = raw.shape
    inputs = open_memmap(
        folder / f"{part}_inputs.npy", mode="w+", dtype=np.uint8, shape=(len(index), channels, height, width)
    )
    labels = open_memmap(folder / f"{part}_labels.npy", mode="w+", dtype=np.uint8, shape=(len(index), height, width))
    for at, image in enumerate(index.tolist()):
        inputs[at], labels[at] = raw.image(image), raw.mask(image)
    inputs.flush()
    labels.flush()
    return inputs, labels
