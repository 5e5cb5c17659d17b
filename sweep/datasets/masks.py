"""Reads a user's images with one label a pixel: `images/` and `masks/`, files of the same stem, and `classes.txt`."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps

from ..errors import DatasetError
from .dataset import IGNORED
from .folder import entries, look, opened, pixels, place_of
from .raw import DenseRaw, Source
from .recipe import RECIPE, Recipe

FOLDERS = {"images", "masks"}
CLASSES = "classes.txt"
_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_MASK_MODES = frozenset({"1", "L", "P"})


def masks_source(folder: Path, recipe: Recipe) -> Source:
    """The images in `images/` with the labels in `masks/`, paired by stem.

    Raises DatasetError, by the file's name, where an image and a mask are not a pair.
    """
    pairs = _pairs(folder)
    listed = (folder / CLASSES,) if (folder / CLASSES).is_file() else ()
    return Source(
        name=folder.name,
        files=(*(path for pair in pairs for path in pair), *listed, *recipe.files),
        read=lambda: _read(pairs, recipe, classes=_classes(folder, recipe), dataset=folder.name),
    )


def _pairs(folder: Path) -> list[tuple[Path, Path]]:
    by_stem = []
    for name in sorted(FOLDERS):
        if not (folder / name).is_dir():
            raise DatasetError(f"{name} is no folder. Expected PNG files in images/ and masks/.", dataset=folder.name)
        files = entries(folder / name)
        odd = [path for path in files if path.suffix.lower() != ".png" or path.is_symlink() or not path.is_file()]
        if odd:
            raise DatasetError(f"{place_of(odd[0])} is no PNG. Expected PNG files only.", dataset=folder.name)
        found = {path.stem: path for path in files}
        if len(found) < len(files):
            twice = next(path for path in files if found[path.stem] != path)
            raise DatasetError(f"{place_of(twice)} is there twice, as .png and .PNG. Remove one.", dataset=folder.name)
        by_stem.append(found)
    images, masks = by_stem
    for one, other, what in ((images, masks, "mask"), (masks, images, "image")):
        alone = sorted(one.keys() - other.keys())
        if alone:
            raise DatasetError(
                f"{place_of(one[alone[0]])} has no {what} ({len(alone)} such files). Expected for each image in"
                " images/ a mask of the same name in masks/.",
                dataset=folder.name,
            )
    if not images:
        raise DatasetError("images/ is empty. Expected PNG files.", dataset=folder.name)
    return [(images[stem], masks[stem]) for stem in sorted(images)]


def _classes(folder: Path, recipe: Recipe) -> tuple[str, ...] | None:
    path = folder / CLASSES
    if not path.is_file():
        return recipe.classes and _checked(recipe.classes, RECIPE, dataset=folder.name)
    try:
        names = [line.strip() for line in path.read_text(encoding="utf-8-sig").splitlines()]
    except UnicodeDecodeError as error:
        raise DatasetError(f"{CLASSES} is not UTF-8 text ({error}).", dataset=folder.name) from error
    while names and not names[-1]:
        names.pop()
    return _checked(names, CLASSES, dataset=folder.name)


def _checked(names: Sequence[str], where: str, *, dataset: str) -> tuple[str, ...]:
    if not 2 <= len(set(names)) == len(names) <= IGNORED or not all(0 < len(name) <= 200 for name in names):
        raise DatasetError(
            f"{where} has {len(names)} classes, {len(set(names))} of them different. Expected 2 to {IGNORED} different"
            " names: the first for pixels of value 0, the next for 1, and so on.",
            dataset=dataset,
        )
    return tuple(names)


def _read(
    pairs: Sequence[tuple[Path, Path]], recipe: Recipe, *, classes: tuple[str, ...] | None, dataset: str
) -> DenseRaw:
    for path in (path for pair in pairs for path in pair):
        _check_png(path, dataset=dataset)
    looks = [look(image, dataset=dataset) for image, _ in pairs]
    sizes = {size: image for (_, size), (image, _) in zip(looks, pairs, strict=True)}
    if recipe.size is None and len(sizes) > 1:
        (first, one), (second, other) = list(sizes.items())[:2]
        raise DatasetError(
            f"{place_of(one)} is {first[0]} x {first[1]}, {place_of(other)} is {second[0]} x {second[1]}. Expected"
            " images of one size, or a size to bring them to in dataset.toml, such as size = 128.",
            dataset=dataset,
        )
    width, height = (recipe.size, recipe.size) if recipe.size else next(iter(sizes))
    grey = all(is_grey for is_grey, _ in looks)

    def mask(index: int) -> NDArray[np.uint8]:
        image_path, mask_path = pairs[index]
        return _mask(
            mask_path, full=looks[index][1], size=(width, height), image=image_path, classes=classes, dataset=dataset
        )

    highest = max(_highest(mask(index)) for index in range(len(pairs)))
    return DenseRaw(
        shape=(1 if grey else 3, height, width),
        mask=mask,
        image=lambda index: pixels(pairs[index][0], grey=grey, size=(width, height), dataset=dataset),
        images=len(pairs),
        classes=classes or _checked([str(label) for label in range(highest + 1)], "its masks", dataset=dataset),
        source=f"The user's own images of {width} x {height}, {'grey' if grey else 'in colour'}, with a mask each.",
    )


def _mask(
    path: Path,
    *,
    full: tuple[int, int],
    size: tuple[int, int],
    image: Path,
    classes: Sequence[str] | None,
    dataset: str,
) -> NDArray[np.uint8]:
    with opened(path, dataset=dataset) as mask:
        if mask.mode not in _MASK_MODES:
            raise DatasetError(
                f"{place_of(path)} has the mode {mask.mode}. Expected one class number a pixel: a grey (L) or indexed"
                " (P) PNG of 8 bits.",
                dataset=dataset,
            )
        if mask.size != full:
            raise DatasetError(
                f"{place_of(path)} is {mask.size[0]} x {mask.size[1]}, {place_of(image)} is {full[0]} x {full[1]}."
                " Expected a mask of its image's size.",
                dataset=dataset,
            )
        depth = _grey_depth(path)
        fitted = mask if mask.size == size else ImageOps.fit(mask, size, Image.Resampling.NEAREST)
        # Pillow stretches grey values of 2 and 4 bits to the whole byte.
        labels_HW = np.asarray(fitted, dtype=np.uint8) // (255 // (2**depth - 1) if depth in (2, 4) else 1)
    highest = _highest(labels_HW)
    if classes is not None and highest >= len(classes):
        raise DatasetError(
            f"{place_of(path)} has a pixel of class {highest}, beyond the {len(classes)} classes that are named."
            f" Expected 0 to {len(classes) - 1}, or {IGNORED} for what is ignored.",
            dataset=dataset,
        )
    return labels_HW


def _check_png(path: Path, *, dataset: str) -> None:
    # A JPEG called .png would open as well, and its blurred values would be read as classes.
    with path.open("rb") as file:
        if file.read(len(_SIGNATURE)) != _SIGNATURE:
            problem = f"{place_of(path)} cannot be read as an image of the kind PNG, whatever its name says"
            raise DatasetError(f"{problem}. Expected PNG files only.", dataset=dataset)


def _grey_depth(path: Path) -> int:
    """Bits of a grey PNG's values, as its header says; 8 for other kinds."""
    with path.open("rb") as file:
        header = file.read(26)
    return header[24] if header[25] == 0 else 8


def _highest(labels_HW: NDArray[np.uint8]) -> int:
    kept = labels_HW[labels_HW != IGNORED]
    return int(kept.max()) if kept.size else 0
