"""Reads a user's .npz file: x and y, or x, y, x_test and y_test; classes if wanted."""

import zipfile
import zlib
from pathlib import Path

import numpy as np
from numpy.lib.npyio import NpzFile
from numpy.typing import NDArray

from ..errors import DatasetError
from .features import LARGEST, standardised
from .raw import Encoded, Raw, Source, first_then_test
from .recipe import Recipe

_TEST = {"x_test", "y_test"}
_CHANNELS = (1, 3)


def npz_source(path: Path, recipe: Recipe) -> Source:
    """One .npz file: x (N, F) numbers, or images (N, H, W), (N, H, W, C) or (N, C, H, W); y (N,)."""
    name = path.parent.name
    return Source(name=name, files=(path, *recipe.files), read=lambda: _read(path, recipe, dataset=name))


def _read(path: Path, recipe: Recipe, *, dataset: str) -> Raw:
    arrays = _arrays(path, dataset=dataset)
    parts = [("x", "y")] if "x_test" not in arrays else [("x", "y"), ("x_test", "y_test")]
    for x, y in parts:
        _check_part(x, y, arrays=arrays, dataset=dataset)
    if len({arrays[x].shape[1:] for x, _ in parts}) > 1:
        raise DatasetError(
            f"x has the shape {arrays['x'].shape}, x_test {arrays['x_test'].shape}. Expected inputs of one shape.",
            dataset=dataset,
        )
    values = np.concatenate([arrays[x] for x, _ in parts])
    sizes = [len(arrays[x]) for x, _ in parts]
    named = arrays.get("classes")
    return Raw(
        kind="vector" if values.ndim == 2 else "image",
        labels_N=np.concatenate([arrays[y] for _, y in parts]),
        encode=lambda is_test_N: _encode(values, is_test_N, dataset=dataset),
        is_test_N=first_then_test(*sizes) if len(sizes) == 2 else None,
        classes=recipe.classes or (None if named is None else tuple(str(name) for name in named.tolist())),
        source=f"The user's own, from {path.name}.",
    )


def _arrays(path: Path, *, dataset: str) -> dict[str, NDArray[np.generic]]:
    try:
        # np.load takes whatever is no archive for a pickle, and says how one would load that.
        with path.open("rb") as file, NpzFile(file, allow_pickle=False) as archive:
            arrays = {name: np.asarray(archive[name]) for name in archive.files}  # a member may be no array
    except (OSError, ValueError, TypeError, EOFError, RuntimeError, zipfile.BadZipFile, zlib.error) as error:
        if "Object arrays" in str(error):
            raise DatasetError(
                f"{path.name} holds an array of objects. Expected arrays of numbers or strings; arrays of objects are"
                " pickles, which can run code and are never loaded: convert them, as with y.astype(str).",
                dataset=dataset,
            ) from error
        raise DatasetError(
            f"{path.name} cannot be read as npz ({type(error).__name__}: {error}): it is damaged, or no npz. Expected a"
            " file of np.savez with arrays of numbers or strings.",
            dataset=dataset,
        ) from error
    tests = _TEST & arrays.keys()
    if not {"x", "y"} <= arrays.keys() <= {"x", "y", "classes"} | _TEST or len(tests) == 1:
        raise DatasetError(
            f"{path.name} holds {', '.join(sorted(arrays)) or 'nothing'}. Expected x and y, if wanted x_test"
            " and y_test, and classes.",
            dataset=dataset,
        )
    return arrays


def _check_part(x: str, y: str, *, arrays: dict[str, NDArray[np.generic]], dataset: str) -> None:
    inputs, labels = arrays[x], arrays[y]
    if inputs.ndim == 0 or labels.ndim != 1 or len(labels) != len(inputs) or labels.dtype.names:
        raise DatasetError(
            f"{y} has the shape {labels.shape} and the type {labels.dtype}, {x} the shape {inputs.shape}. Expected"
            f" {y} of the shape (N,), one label for each of the N samples of {x} (labels in columns: y.argmax(1)).",
            dataset=dataset,
        )
    if (
        inputs.ndim not in (2, 3, 4)
        or inputs.size == 0
        or not (np.issubdtype(inputs.dtype, np.number) or inputs.dtype == np.bool_)
    ):
        raise DatasetError(
            f"{x} has the shape {inputs.shape} and the type {inputs.dtype}. Expected numbers of the shape"
            " (N, features), or images (N, H, W), (N, H, W, channels) or (N, channels, H, W).",
            dataset=dataset,
        )


def _encode(values: NDArray[np.generic], is_test_N: NDArray[np.bool_], *, dataset: str) -> Encoded:
    if np.iscomplexobj(values):
        raise DatasetError("x holds complex numbers. Expected real ones.", dataset=dataset)
    unfit = values.size - np.count_nonzero(np.abs(values) <= LARGEST)
    if unfit:
        raise DatasetError(
            f"x holds {unfit} values that are NaN or infinite (or beyond {LARGEST:.0e}). Expected numbers:"
            " fill them in, or remove the samples.",
            dataset=dataset,
        )
    if values.ndim == 2:
        note = "Features are standardised by the mean and deviation of the training pool."
        return Encoded(inputs=standardised(values.astype(np.float64), ~is_test_N).astype(np.float32), notes=(note,))
    return Encoded(inputs=_bytes(_channels_first(values, dataset=dataset), dataset=dataset))


def _channels_first(images: NDArray[np.generic], *, dataset: str) -> NDArray[np.generic]:
    if images.ndim == 3:
        return images[:, None]
    if images.shape[3] in _CHANNELS:
        return images.transpose(0, 3, 1, 2)
    if images.shape[1] in _CHANNELS:
        return images
    raise DatasetError(
        f"x has the shape {images.shape}. Expected 1 or 3 channels, in the second or the last place.",
        dataset=dataset,
    )


def _bytes(images: NDArray[np.generic], *, dataset: str) -> NDArray[np.uint8]:
    """Grey values as bytes: whole numbers from 0 to 255 as they are, fractions in [0, 1] times 255."""
    if images.dtype == np.uint8:
        return images.astype(np.uint8, copy=False)
    numbers = images.astype(np.float64)
    low, high = float(numbers.min()), float(numbers.max())
    top = 1.0 if np.issubdtype(images.dtype, np.floating) or images.dtype == np.bool_ else 255.0
    if low < 0 or high > top:
        raise DatasetError(
            f"x holds images of {images.dtype} from {low:g} to {high:g}. Expected whole numbers from 0 to"
            " 255, or fractions from 0 to 1.",
            dataset=dataset,
        )
    return np.rint(numbers * (255 / top)).astype(np.uint8)
