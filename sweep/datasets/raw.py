"""What every reader returns: labels as they stand in the files, and a way to get at the inputs."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from .dataset import Kind

Inputs = NDArray[np.uint8] | NDArray[np.float32]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Encoded:
    """The inputs of all N samples, in the types that `Dataset` promises."""

    inputs: Inputs
    columns: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    """Sentences on what was changed or left out, for people."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Raw:
    """A data set as read, training samples and test samples in one row."""

    kind: Kind
    labels_N: NDArray[np.generic]
    """Numbers, booleans or strings, one a sample."""
    encode: Callable[[NDArray[np.bool_]], Encoded]
    """Makes the inputs, given which samples are for testing: whatever is fitted is fitted on the others."""
    is_test_N: NDArray[np.bool_] | None = None
    """Which samples are for testing; None: a part is to be set aside."""
    test_fraction: float = 0.2
    """The part to be set aside."""
    classes: tuple[str, ...] | None = None
    """The classes in their order, or their names where labels are their numbers."""
    source: str


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class DenseRaw:
    """Images with one label a pixel, read one by one so that a set may be larger than memory."""

    shape: tuple[int, int, int]
    """Of one image: (channels, H, W)."""
    mask: Callable[[int], NDArray[np.uint8]]
    """The labels (H, W) of an image by its position, class numbers or `dataset.IGNORED`."""
    image: Callable[[int], NDArray[np.uint8]]
    """An image (channels, H, W) by its position."""
    images: int
    is_test_N: NDArray[np.bool_] | None = None
    """Which images are for testing; None: a part is to be set aside."""
    test_fraction: float = 0.2
    classes: tuple[str, ...]
    source: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """A data set that can be read: its name, what it hangs on, and its reader."""

    name: str
    files: tuple[Path, ...]
    read: Callable[[], Raw | DenseRaw]
    variant: str = ""
    """What it was made to order by, where it was."""


def first_then_test(train: int, test: int) -> NDArray[np.bool_]:
    """The mask of test samples where `train` samples are followed by `test` ones."""
    return np.arange(train + test) >= train
