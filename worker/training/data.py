"""A data set as tensors on the device, put there once and read by index ever after.

Shapes: N samples, B samples of a batch, F features, C classes, and images of (channels, H, W).
"""

import math
import warnings
from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from .memory import free_on_gpu

IGNORED = 255
"""A pixel with this label, in labels of uint8, counts nowhere."""
_IGNORE_INDEX = -100
"""What losses know it by."""
_COUNTED_AT_ONCE = 2**22
"""Labels, or values of a channel, so that counting takes little memory beside them."""
_SHARE_OF_MEMORY = 0.5
"""Data that need more of a GPU's free memory stay on the host, and go to the GPU by batch."""


class Part:
    """Inputs and labels of a pool or a test set, read by rows."""

    def __init__(
        self, inputs: NDArray[np.uint8] | NDArray[np.float32], labels: NDArray[np.integer], *, classes: int,
        device: torch.device, home: torch.device,
    ) -> None:  # fmt: skip
        """Copies the arrays to a `home` that is a GPU, and else uses them where they are, on the host."""
        place = _mapped if home.type == "cpu" else torch.tensor
        if labels.ndim == 1:  # of any width and byte order; torch reads a few
            labels = labels.astype(np.int64, copy=False)
        self._classes, self._device, self._home = classes, device, home
        self._inputs, self._labels = (place(array).to(self._home) for array in (inputs, labels))

    def __len__(self) -> int:
        """The number of samples."""
        return len(self._labels)

    @property
    def is_dense(self) -> bool:
        """Whether there is one label a pixel."""
        return self._labels.ndim > 1

    @property
    def inputs(self) -> Tensor:
        """All inputs, where they lie."""
        return self._inputs

    def inputs_of(self, index_B: Tensor) -> Tensor:
        """The inputs of these rows, on the device; nobody waits for it where the rows are named at the data's home."""
        return self._rows(self._inputs, index_B)

    def targets_of(self, index_B: Tensor) -> Tensor:
        """The targets of these rows, on the device: int64, -100 where a pixel is ignored."""
        labels_B = self._rows(self._labels, index_B).long()
        return torch.where(labels_B == IGNORED, _IGNORE_INDEX, labels_B) if self.is_dense else labels_B

    def class_counts(self, index: Tensor) -> Tensor:
        """Samples (pixels, where labels are dense) of each class (C,) among these rows, int64."""
        counts_C = torch.zeros(self._classes, dtype=torch.int64, device=self._device)
        for index_B in torch.split(index, _rows_at_once(self._labels.shape)):
            target = self.targets_of(index_B).flatten()
            counts_C += torch.bincount(target[target >= 0], minlength=self._classes)
        return counts_C

    def _rows(self, tensor: Tensor, index_B: Tensor) -> Tensor:
        index_B = index_B.to(self._home)
        if self._home.type == self._device.type:
            return tensor[index_B]
        # Only from pinned memory does a copy to a GPU go on beside what the host does.
        pinned = self._device.type == "cuda"
        rows_B = torch.empty(len(index_B), *tensor.shape[1:], dtype=tensor.dtype, pin_memory=pinned)
        return torch.index_select(tensor, 0, index_B, out=rows_B).to(self._device, non_blocking=True)


class DeviceData:
    """A training pool and a test set on one device.

    Inputs are float32 vectors (N, F), taken as they are, or uint8 images (N, channels, H, W), which stay
    uint8 and are normalised by batch with the pool's mean and standard deviation per channel. Labels are
    whole numbers in [0, classes), one a sample (N,), or one a pixel, uint8 (N, H, W), where 255 is ignored.
    Arrays may be memory-mapped. To a GPU they are copied where they fit, else they go there by batch; on a CPU
    they are read where they are, so that all workers of a machine share them.

    Raises ValueError where the arrays do not fit together.
    """

    def __init__(
        self,
        *,
        train_inputs: NDArray[np.uint8] | NDArray[np.float32],
        train_labels: NDArray[np.integer],
        test_inputs: NDArray[np.uint8] | NDArray[np.float32],
        test_labels: NDArray[np.integer],
        classes: int,
        device: torch.device,
    ) -> None:
        """Checks the arrays and copies them to `device`."""
        _check_part("training", train_inputs, train_labels, classes=classes)
        _check_part("test", test_inputs, test_labels, classes=classes)
        if train_inputs.shape[1:] != test_inputs.shape[1:] or train_inputs.dtype != test_inputs.dtype:
            raise ValueError(
                f"Expected test inputs like the training ones, {train_inputs.dtype} {train_inputs.shape[1:]},"
                f" got {test_inputs.dtype} {test_inputs.shape[1:]}. Prepare both in the same way."
            )
        self.device = device
        """Where models learn, and inputs and targets are answered."""
        self.classes = classes
        self.input_shape: tuple[int, ...] = tuple(train_inputs.shape[1:])
        size = sum(array.nbytes for array in (train_inputs, train_labels, test_inputs, test_labels))
        resident = device.type == "cuda" and size < _SHARE_OF_MEMORY * free_on_gpu(device)
        self.home = device if resident else torch.device("cpu")
        """Where the data lie, and rows are best named: on a GPU, or on the host if they are too large for it."""
        self.train = Part(train_inputs, train_labels, classes=classes, device=device, home=self.home)
        self.test = Part(test_inputs, test_labels, classes=classes, device=device, home=self.home)
        self._scale = _channel_scale(self.train.inputs, device) if self.is_image else None

    @property
    def is_image(self) -> bool:
        """Whether an input is an image (channels, H, W) rather than a vector (F,)."""
        return len(self.input_shape) == 3

    def prepare(self, inputs: Tensor) -> Tensor:
        """The inputs as models take them: float32, images with mean 0 and variance 1 per channel.

        Mean and variance are the pool's. Images come with their channels innermost in memory, where
        convolutions are quickest.
        """
        if self._scale is None:
            return inputs
        mean_C11, deviation_C11 = self._scale
        images = inputs.to(torch.float32, memory_format=torch.channels_last)
        return (images - mean_C11) / deviation_C11


def _check_part(
    part: str,
    inputs: NDArray[np.uint8] | NDArray[np.float32],
    labels: NDArray[np.integer],
    *,
    classes: int,
) -> None:
    if (inputs.dtype, inputs.ndim) not in {(np.dtype(np.uint8), 4), (np.dtype(np.float32), 2)}:
        raise ValueError(
            f"Expected {part} inputs as float32 vectors (N, F) or uint8 images (N, channels, H, W), got"
            f" {inputs.dtype} of shape {inputs.shape}. Convert them when the data set is read."
        )
    if labels.shape not in {inputs.shape[:1], inputs.shape[:1] + inputs.shape[2:]} or not len(labels):
        raise ValueError(
            f"Expected {part} labels, one for each of the {len(inputs)} inputs or of their pixels, got shape"
            f" {labels.shape}. Check that inputs and labels come from the same files."
        )
    if labels.ndim > 1 and labels.dtype != np.uint8:
        raise ValueError(f"Expected {part} labels by pixel as uint8, got {labels.dtype}. Convert them.")
    lowest, highest = _extremes(labels)
    if lowest < 0 or highest >= classes:
        raise ValueError(
            f"Expected {part} labels in [0, {classes}), got {lowest} to {highest}. Number the classes from 0."
        )


def _extremes(labels: NDArray[np.integer]) -> tuple[int, int]:
    if labels.ndim == 1:
        return int(labels.min()), int(labels.max())
    rows = _rows_at_once(labels.shape)
    counts = sum(
        np.bincount(labels[start : start + rows].ravel(), minlength=IGNORED + 1)
        for start in range(0, len(labels), rows)
    )
    kept = np.flatnonzero(np.asarray(counts)[:IGNORED])
    return (int(kept.min()), int(kept.max())) if len(kept) else (0, 0)


def _rows_at_once(shape: Sequence[int]) -> int:
    return max(_COUNTED_AT_ONCE // math.prod(shape[1:]), 1)


def _mapped(array: NDArray[np.generic]) -> Tensor:
    # torch warns of arrays that cannot be written, though nothing here writes.
    with warnings.catch_warnings(action="ignore", category=UserWarning):
        return torch.from_numpy(array)


def _channel_scale(images: Tensor, device: torch.device) -> tuple[Tensor, Tensor]:
    # Sums of squares over a whole pool lose digits; 256 counts a channel give the moments exactly.
    counts = torch.zeros(images.shape[1], 256, dtype=torch.int64, device=device)
    for some in torch.split(images, _rows_at_once(images[:, 0].shape)):
        channels = some.to(device).unbind(1)
        counts += torch.stack([torch.bincount(channel.flatten(), minlength=256) for channel in channels])
    shares = counts.double() / counts.sum(dim=1, keepdim=True)
    levels = torch.arange(256, device=device, dtype=torch.float64)
    mean_C = shares @ levels
    variance_C = (shares * (levels - mean_C[:, None]) ** 2).sum(dim=1)
    deviation_C = torch.where(variance_C > 0, variance_C.sqrt(), 1.0)
    return mean_C.float()[:, None, None], deviation_C.float()[:, None, None]
