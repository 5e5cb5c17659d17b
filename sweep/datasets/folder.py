"""Reads a user's images: one folder a class, or such folders under train and test."""

import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps

from ..errors import DatasetError
from .raw import Encoded, Raw, Source
from .recipe import RECIPE, Recipe

_ENDINGS = frozenset({".png", ".jpg", ".jpeg", ".bmp", ".webp"})
_DEFAULT_SIZE = 64
_GREY_MODES = frozenset({"1", "L", "LA", "La"})
_DEEP_MODES = ("I", "F")
_BOMBS = (Image.DecompressionBombError, Image.DecompressionBombWarning)
_ORIENTATION = 0x0112
_TURNED = frozenset({5, 6, 7, 8})
"""Orientations of a camera that swap width and height."""


@dataclass(frozen=True, slots=True)
class _Picture:
    path: Path
    label: str
    is_test: bool


def folder_source(folder: Path, found: Sequence[Path], recipe: Recipe) -> Source:
    """The images in the class folders `found`, or in those of their parts where they are train and test.

    Raises DatasetError where a class folder holds anything but images.
    """
    parts = {"train": False, "test": True}
    divided = {entry.name for entry in found} == parts.keys() and all(_holds_folders(entry) for entry in found)
    pictures = tuple(
        picture
        for entry in found
        for kind in (entries(entry) if divided else [entry])
        for picture in _pictures(kind, is_test=divided and parts[entry.name], dataset=folder.name)
    )
    files = (*(picture.path for picture in pictures), *recipe.files)
    return Source(
        name=folder.name,
        files=files,
        read=lambda: _read(pictures, recipe, divided=divided, dataset=folder.name),
    )


def _read(pictures: Sequence[_Picture], recipe: Recipe, *, divided: bool, dataset: str) -> Raw:
    return Raw(
        kind="image",
        labels_N=np.array([picture.label for picture in pictures], dtype=object),
        encode=lambda is_test_N: _encode(pictures, recipe, dataset=dataset),
        is_test_N=np.array([picture.is_test for picture in pictures], dtype=np.bool_) if divided else None,
        classes=recipe.classes,
        source="The user's own images, one folder a class.",
    )


def _encode(pictures: Sequence[_Picture], recipe: Recipe, *, dataset: str) -> Encoded:
    looks = [look(picture.path, dataset=dataset) for picture in pictures]
    grey = all(is_grey for is_grey, _ in looks)
    sizes = {size for _, size in looks}
    note = f"They are {'grey' if grey else 'in colour'}"
    if recipe.size is None and len(sizes) == 1:
        width, height = sizes.pop()
        notes = (f"{note}, {width} x {height} each.",)
    else:
        width = height = recipe.size or _DEFAULT_SIZE
        notes = (f"{note}, resized by their short side and cropped to the middle {width} x {height}.",)
    inputs_NCHW = np.empty((len(pictures), 1 if grey else 3, height, width), dtype=np.uint8)
    for image_CHW, picture in zip(inputs_NCHW, pictures, strict=True):
        image_CHW[:] = pixels(picture.path, grey=grey, size=(width, height), dataset=dataset)
    return Encoded(inputs=inputs_NCHW, notes=notes)


def look(path: Path, *, dataset: str) -> tuple[bool, tuple[int, int]]:
    """Whether an image is grey, and its width and height as it is to be seen."""
    with opened(path, dataset=dataset) as image:
        if image.mode.startswith(_DEEP_MODES):
            raise DatasetError(
                f"{place_of(path)} has more than 8 bits a channel (mode {image.mode}). Expected 8 bits: convert it.",
                dataset=dataset,
            )
        turned = image.getexif().get(_ORIENTATION) in _TURNED
        return image.mode in _GREY_MODES, image.size[::-1] if turned else image.size


def pixels(path: Path, *, grey: bool, size: tuple[int, int], dataset: str) -> NDArray[np.uint8]:
    """An image (channels, H, W), upright, resized by its short side and cropped where it is not of that size."""
    with opened(path, dataset=dataset) as image:
        upright = ImageOps.exif_transpose(image).convert("L" if grey else "RGB")
        fitted = upright if upright.size == size else ImageOps.fit(upright, size, Image.Resampling.BILINEAR)
        values = np.asarray(fitted, dtype=np.uint8)
    return values[None] if grey else values.transpose(2, 0, 1)


@contextmanager
def opened(path: Path, *, dataset: str) -> Iterator[Image.Image]:
    """An open image; raises DatasetError, by its name, where it cannot be read."""
    try:
        with warnings.catch_warnings():
            # A file of a few bytes may claim gigabytes of pixels: a warning is reason enough to refuse it.
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            with Image.open(path) as image:
                yield image
    except (OSError, SyntaxError, ValueError, *_BOMBS) as error:
        raise DatasetError(
            f"{place_of(path)} cannot be read as an image ({error}). Mend the file, or remove it.",
            dataset=dataset,
        ) from error


def _pictures(folder: Path, *, is_test: bool, dataset: str) -> Iterator[_Picture]:
    if not folder.is_dir():
        raise DatasetError(f"{place_of(folder)} lies among folders of classes. Expected folders only.", dataset=dataset)
    for path in entries(folder):
        if path.suffix.lower() not in _ENDINGS or path.is_symlink() or not path.is_file():
            raise DatasetError(
                f"{folder.name}/{path.name} is no image. Expected files of the kinds"
                f" {', '.join(sorted(_ENDINGS))} in the folder of a class (sizes and order of classes are"
                f" said in {RECIPE}).",
                dataset=dataset,
            )
        yield _Picture(path, folder.name, is_test)


def entries(folder: Path) -> list[Path]:
    """What lies in a folder, sorted, without what systems leave there."""
    return sorted(entry for entry in folder.iterdir() if not entry.name.startswith(".") and entry.name != "Thumbs.db")


def _holds_folders(folder: Path) -> bool:
    return any(entry.is_dir() for entry in entries(folder))


def place_of(path: Path) -> str:
    """A file and its folder, as messages name it."""
    return f"{path.parent.name}/{path.name}"
