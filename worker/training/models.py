"""The models that a trial can name, and how one is built from a seed."""

import inspect
from collections.abc import Callable, Mapping
from math import prod

import torch
from torch import nn
from torch.nn.parameter import is_lazy

from .resnet import CifarResNet
from .seeds import Stream, stream_seed
from .unet import UNet

SMALLEST_IMAGE = 8


def build_model(
    name: str,
    *,
    input_shape: tuple[int, ...],
    classes: int,
    params: Mapping[str, float],
    seed: int,
) -> nn.Module:
    """The model called `name`, from inputs (B, *input_shape) to logits (B, classes) or (B, classes, H, W), on the CPU.

    Its weights depend on `seed` alone; the global generator is left as it was. Raises ValueError for an
    unknown model or parameter, where the model cannot take inputs of this shape, and where it has weights that are not
    shaped yet or asks for sparse gradients: weights, and their gradients, are parts of one dense matrix.
    """
    if name not in MODELS:
        raise ValueError(f"Expected a model among {', '.join(MODELS)}, got {name!r}. Name one of these.")
    builder = MODELS[name]
    known = [parameter for parameter in inspect.signature(builder).parameters if parameter not in _SHAPES]
    if unknown := set(params) - set(known):
        raise ValueError(
            f"Expected parameters of {name} among {', '.join(known) or 'none'}, got"
            f" {', '.join(sorted(unknown))}. Remove them or choose another model."
        )
    with torch.random.fork_rng(devices=[]):
        # torch.manual_seed would reseed the GPUs as well, which fork_rng was told to leave alone.
        torch.default_generator.manual_seed(stream_seed(seed, Stream.INITIALISATION))
        model = builder(input_shape, classes, **params)
    _check_layers(name, model)
    return model


_SHAPES = ("input_shape", "classes")


def _check_layers(name: str, model: nn.Module) -> None:
    for path, module in model.named_modules():
        if isinstance(module, nn.Embedding | nn.EmbeddingBag) and module.sparse and module.weight.requires_grad:
            raise ValueError(
                f"Expected a model whose gradients are dense, got {name}, whose {type(module).__name__} {path!r}"
                " asks for sparse ones. Build it with sparse=False."
            )
        if any(map(is_lazy, (*module.parameters(recurse=False), *module.buffers(recurse=False)))):
            raise ValueError(
                f"Expected a model whose weights have their shapes, got {name}, whose {type(module).__name__} {path!r}"
                " has none yet. Build it with the number of its inputs, or call the model once in its builder."
            )


def _linear(input_shape: tuple[int, ...], classes: int) -> nn.Module:
    return nn.Sequential(nn.Flatten(), nn.Linear(prod(input_shape), classes))


def _mlp(
    input_shape: tuple[int, ...], classes: int, *, width: int = 128, depth: int = 1, dropout: float = 0.0
) -> nn.Module:
    layers: list[nn.Module] = [nn.Flatten()]
    features = prod(input_shape)
    for _ in range(depth):
        layers += [nn.Linear(features, width), nn.ReLU(inplace=True), *([nn.Dropout(dropout)] if dropout else [])]
        features = width
    return nn.Sequential(*layers, nn.Linear(features, classes))


def _small_cnn(input_shape: tuple[int, ...], classes: int, *, width: int = 16) -> nn.Module:
    channels = _image_channels("small_cnn", input_shape)
    layers: list[nn.Module] = []
    for out_channels in (width, 2 * width, 4 * width):
        layers += [
            nn.Conv2d(channels, out_channels, kernel_size=3, padding=1, bias=False),
            nn.MaxPool2d(2),
            nn.BatchNorm2d(out_channels),
            nn.ReLU(),
        ]
        channels = out_channels
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(channels, classes))


def _resnet32(input_shape: tuple[int, ...], classes: int) -> nn.Module:
    return CifarResNet(channels=_image_channels("resnet32", input_shape), classes=classes, blocks=5)


def _resnet18(input_shape: tuple[int, ...], classes: int) -> nn.Module:
    # Imported here alone: a GPU machine may have torch without torchvision, and the other models need none.
    from torchvision.models import resnet18

    channels = _image_channels("resnet18", input_shape)
    model: nn.Module = resnet18(weights=None, num_classes=classes)
    if channels != 3:
        model.conv1 = nn.Conv2d(channels, 64, kernel_size=7, stride=2, padding=3, bias=False)
        nn.init.kaiming_normal_(model.conv1.weight, mode="fan_out", nonlinearity="relu")
    return model


def _unet(input_shape: tuple[int, ...], classes: int, *, width: int = 16, depth: int = 2) -> nn.Module:
    return UNet(channels=_image_channels("unet", input_shape), classes=classes, width=width, depth=depth)


def _image_channels(model: str, input_shape: tuple[int, ...]) -> int:
    if len(input_shape) != 3 or min(input_shape[1:]) < SMALLEST_IMAGE:
        raise ValueError(
            f"Expected images (channels, H, W) of at least {SMALLEST_IMAGE} by {SMALLEST_IMAGE} for {model},"
            f" got inputs of shape {input_shape}. Choose linear or mlp for these."
        )
    return input_shape[0]


MODELS: Mapping[str, Callable[..., nn.Module]] = {
    "linear": _linear,
    "mlp": _mlp,
    "small_cnn": _small_cnn,
    "resnet32": _resnet32,
    "resnet18": _resnet18,
    "unet": _unet,
}
