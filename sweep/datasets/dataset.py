"""What a data set is to the rest of the house: facts to show and choose by, and arrays to train on."""

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

IGNORED = 255
"""A pixel with this label counts nowhere."""
Kind = Literal["vector", "image", "dense"]
"""What an input is; dense: an image with one label a pixel."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DatasetInfo:
    """The facts of a prepared data set; classes and counts are in label order."""

    name: str
    kind: Kind
    classes: tuple[str, ...]
    """Names of the classes, as people know them."""
    shape: tuple[int, ...]
    """Of one input: (features,) or (channels, height, width)."""
    pool_counts: tuple[int, ...]
    """Samples by class (pixels, where labels are dense) from which training and validation are drawn."""
    test_counts: tuple[int, ...]
    source: str
    """Where the samples come from and what was done to them, in sentences for people."""
    fingerprint: str
    """Changes with the files' names, sizes or times: the key under which the prepared form is kept."""
    content: str
    """SHA-256 over the prepared arrays and the class names: the same data has the same, wherever it lies."""
    columns: tuple[str, ...] = ()
    """Names of the features of a table, after encoding."""
    is_made_to_order: bool = False
    """True where the samples are made to the class counts asked for, instead of chosen."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Dataset:
    """A data set's arrays, memory-mapped and read-only.

    Inputs are float32 vectors (N, F) or uint8 images (N, channels, H, W). Labels are int64 (N,) in [0, C), or
    where they are dense uint8 (N, H, W) in [0, C) or `IGNORED`.
    """

    info: DatasetInfo
    train_inputs: NDArray[np.uint8] | NDArray[np.float32]
    train_labels: NDArray[np.int64] | NDArray[np.uint8]
    test_inputs: NDArray[np.uint8] | NDArray[np.float32]
    test_labels: NDArray[np.int64] | NDArray[np.uint8]
    image_counts: NDArray[np.int64] | None = None
    """Where labels are dense: the pixels of each class in each training image (N, C)."""
