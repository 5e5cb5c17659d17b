"""The models that can be asked for: one row each, beside its builder of the same name in `worker.training.models`."""

from collections.abc import Mapping
from dataclasses import dataclass

_LARGE_IMAGE = 65
"""Images with a side from here on get torchvision's ResNet-18, whose stem shrinks them fourfold at once."""


@dataclass(frozen=True, slots=True)
class Model:
    """A row of the table: what a model is and which inputs it takes."""

    name: str
    description: str
    takes: tuple[str, ...]


_ROWS = (
    Model("linear", "Softmax regression", ("vector", "image")),
    Model("mlp", "One hidden layer of 128 units with ReLU", ("vector", "image")),
    Model("small_cnn", "Small convolutional network with batch normalisation", ("image",)),
    Model("resnet32", "ResNet-32 for CIFAR with option-A shortcuts (He et al. 2016, section 4.2)", ("image",)),
    Model("resnet18", "torchvision's ResNet-18, from random weights, for larger images", ("image",)),
)

MODELS: Mapping[str, Model] = {row.name: row for row in _ROWS}


def default_model(kind: str, shape: tuple[int, ...]) -> str:
    """The model that `auto` stands for, by the kind of input and the shape of one input."""
    if kind == "vector":
        return "mlp"
    return "resnet18" if max(shape[1:]) >= _LARGE_IMAGE else "small_cnn"
