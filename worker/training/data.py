"""A data set as tensors on the device, put there once and read by index ever after.

Shapes: N samples, B samples of a batch, F features, C classes, and images of (channels, H, W).
"""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor


class DeviceData:
    """A training pool and a test set on one device.

    Inputs are float32 vectors (N, F), taken as they are, or uint8 images (N, channels, H, W), which stay
    uint8 and are normalised by batch with the pool's mean and standard deviation per channel. Labels are
    whole numbers in [0, classes), one a sample (N,) or one a pixel (N, H, W). Arrays may be memory-mapped;
    they are copied.

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
        self.classes = classes
        self.input_shape: tuple[int, ...] = tuple(train_inputs.shape[1:])
        self.train_inputs = torch.tensor(train_inputs, device=device)
        self.train_labels = torch.tensor(train_labels, device=device)
        self.test_inputs = torch.tensor(test_inputs, device=device)
        self.test_labels = torch.tensor(test_labels, device=device)
        self._scale = _channel_scale(self.train_inputs) if self.is_image else None

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

    def class_counts(self, index: Tensor) -> Tensor:
        """Samples (pixels, where labels are dense) of each class (C,) among these rows of the pool, int64."""
        return torch.bincount(self.train_labels[index].flatten(), minlength=self.classes)


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
    if labels.min() < 0 or labels.max() >= classes:
        raise ValueError(
            f"Expected {part} labels in [0, {classes}), got {labels.min()} to {labels.max()}."
            " Number the classes from 0."
        )


def _channel_scale(images: Tensor) -> tuple[Tensor, Tensor]:
    # Sums of squares over a whole pool lose digits; 256 counts a channel give the moments exactly.
    counts = torch.stack([torch.bincount(channel.flatten(), minlength=256) for channel in images.unbind(1)])
    shares = counts.double() / counts.sum(dim=1, keepdim=True)
    levels = torch.arange(256, device=images.device, dtype=torch.float64)
    mean_C = shares @ levels
    variance_C = (shares * (levels - mean_C[:, None]) ** 2).sum(dim=1)
    deviation_C = torch.where(variance_C > 0, variance_C.sqrt(), 1.0)
    return mean_C.float()[:, None, None], deviation_C.float()[:, None, None]
