"""The models that can be asked for: one row each, beside its builder of the same name in `worker.training.models`."""

from collections.abc import Mapping
from dataclasses import dataclass

from .parameter import Parameter

SMALLEST_IMAGE = 8
"""Sides that convolutional models take, in pixels."""
_LARGE_IMAGE = 65
"""Images with a side from here on get torchvision's ResNet-18, whose stem shrinks them fourfold at once."""


@dataclass(frozen=True, slots=True)
class Model:
    """A row of the table: what a model is and which inputs it takes."""

    name: str
    description: str
    takes: tuple[str, ...]
    parameters: tuple[Parameter, ...] = ()


def _whole(name: str, default: int, low: int, high: int, description: str) -> Parameter:
    return Parameter(name, default, low, high, description, kind="integer")


_ROWS = (
    Model("linear", "Softmax regression", ("vector", "image")),
    Model(
        "mlp", "Hidden layers with ReLU", ("vector", "image"),
        (
            _whole("width", 128, 1, 4096, "units of a hidden layer"), _whole("depth", 1, 1, 8, "hidden layers"),
            Parameter("dropout", 0.0, 0, 0.95, "share of a hidden layer's units that sit out each step"),
        ),
    ),
    Model(
        "small_cnn", "Small convolutional network with batch normalisation", ("image",),
        (_whole("width", 16, 4, 256, "channels of the first of three layers; the next ones have twice as many each"),),
    ),
    Model("resnet32", "ResNet-32 for CIFAR with option-A shortcuts (He et al. 2016, section 4.2)", ("image",)),
    Model("resnet18", "torchvision's ResNet-18, from random weights, for larger images", ("image",)),
    Model(
        "unet", "Small U-Net with batch normalisation (Ronneberger et al. 2015), one label a pixel", ("dense",),
        (
            _whole("width", 16, 2, 128, "channels of the first level; each level down has twice as many"),
            _whole("depth", 2, 1, 5, "levels below the first, each at half the resolution"),
        ),
    ),
)  # fmt: skip

MODELS: Mapping[str, Model] = {row.name: row for row in _ROWS}


def default_model(kind: str, shape: tuple[int, ...]) -> str:
    """The model that `auto` stands for, by the kind of input and the shape of one input."""
    if kind == "dense":
        return "unet"
    if kind == "vector" or min(shape[1:]) < SMALLEST_IMAGE:
        return "mlp"
    return "resnet18" if max(shape[1:]) >= _LARGE_IMAGE else "small_cnn"
