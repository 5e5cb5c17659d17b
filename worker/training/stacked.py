"""Models of many members as one: every parameter has the member in front, and a layer is launched once for all.

Shapes: K members, B samples a batch; vectors are (K, B, F), images (K, B, channels, H, W). Convolutions see the
members side by side in the channels, as groups (HFTA: Wang et al., "Horizontally Fused Training Array", MLSys 2021).
"""

import copy
from collections.abc import Callable, Iterable, Mapping, Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional


class Stackable(nn.Module):
    """A module whose forward counts its dimensions from the end, so that members in front do not disturb it."""


class Linear(nn.Module):
    """`nn.Linear` of every member."""

    def __init__(self, layers: Sequence[nn.Linear]) -> None:
        """Stacks weights (K, out, in) and biases (K, 1, out)."""
        super().__init__()
        self.weight = _stacked(layer.weight for layer in layers)
        self.bias = _stacked(layer.bias[None] for layer in layers)

    def forward(self, inputs_KBF: Tensor) -> Tensor:
        """(K, B, out)."""
        return torch.baddbmm(self.bias, inputs_KBF, self.weight.transpose(1, 2))


class Conv2d(nn.Module):
    """`nn.Conv2d` of every member, as one convolution in groups."""

    def __init__(self, layers: Sequence[nn.Conv2d]) -> None:
        """Stacks weights (K, out, in, kernel, kernel) and, where there are any, biases (K, out)."""
        super().__init__()
        first = layers[0]
        self.weight = _stacked(layer.weight for layer in layers)
        biases = [layer.bias for layer in layers if layer.bias is not None]
        self.bias = _stacked(biases) if biases else None
        self._stride, self._padding = first.stride, first.padding

    def forward(self, images: Tensor) -> Tensor:
        """(K, B, out, H, W)."""
        members = len(self.weight)
        bias = None if self.bias is None else self.bias.flatten()
        weight = self.weight.flatten(0, 1)
        convolved = functional.conv2d(_side_by_side(images), weight, bias, self._stride, self._padding, groups=members)
        return _apart(convolved, members)


class BatchNorm2d(nn.Module):
    """`nn.BatchNorm2d` of every member: each normalises over its own batch and keeps its own running moments."""

    running_mean: Tensor
    running_var: Tensor

    def __init__(self, layers: Sequence[nn.BatchNorm2d]) -> None:
        """Stacks scale, shift and running moments, all (K, channels)."""
        super().__init__()
        self.weight = _stacked(layer.weight for layer in layers)
        self.bias = _stacked(layer.bias for layer in layers)
        for name in ("running_mean", "running_var"):
            self.register_buffer(name, torch.stack([getattr(layer, name) for layer in layers]))
        self._momentum, self._eps = layers[0].momentum, layers[0].eps

    def forward(self, images: Tensor) -> Tensor:
        """(K, B, channels, H, W)."""
        normalised = functional.batch_norm(
            _side_by_side(images),
            self.running_mean.view(-1),
            self.running_var.view(-1),
            self.weight.flatten(),
            self.bias.flatten(),
            training=self.training,
            momentum=self._momentum or 0.0,
            eps=self._eps,
        )
        return _apart(normalised, len(self.weight))


class Spatial(nn.Module):
    """A layer without parameters that treats every channel alike: pooling, enlarging."""

    def __init__(self, layer: nn.Module) -> None:
        """Takes the layer as it is."""
        super().__init__()
        self.layer = layer

    def forward(self, images: Tensor) -> Tensor:
        """(K, B, channels, H, W) as the layer makes it."""
        return _apart(self.layer(_side_by_side(images)), len(images))


class Flatten(nn.Module):
    """(K, B, everything else)."""

    def forward(self, inputs: Tensor) -> Tensor:
        """Joins all dimensions behind the batch."""
        return inputs.flatten(2)


class Alone(nn.Module):
    """A model that cannot be stacked, as a stack of one."""

    def __init__(self, model: nn.Module) -> None:
        """Takes the model's weights and buffers with a member in front, and the rest as it is."""
        super().__init__()
        self._bare = (model,)
        self._names = {name: name.replace(".", "/") for name in model.state_dict()}
        for name, parameter in model.named_parameters():
            self.register_parameter(self._names[name], _stacked([parameter]))
        for name, buffer in model.named_buffers():
            self.register_buffer(self._names[name], buffer[None])

    def forward(self, inputs: Tensor) -> Tensor:
        """(1, B, …)."""
        (model,) = self._bare
        tensors = {name: getattr(self, own)[0] for name, own in self._names.items()}
        logits: Tensor = torch.func.functional_call(model.train(self.training), tensors, (inputs[0],))
        return logits[None]


_LAYERS: Mapping[type[nn.Module], Callable[[Sequence[nn.Module]], nn.Module]] = {
    nn.Linear: Linear,  # type: ignore[dict-item]
    nn.Conv2d: Conv2d,  # type: ignore[dict-item]
    nn.BatchNorm2d: BatchNorm2d,  # type: ignore[dict-item]
    nn.MaxPool2d: lambda layers: Spatial(layers[0]),
    nn.AdaptiveAvgPool2d: lambda layers: Spatial(layers[0]),
    nn.Upsample: lambda layers: Spatial(layers[0]),
    nn.Flatten: lambda layers: Flatten(),
    nn.ReLU: lambda layers: layers[0],
}
"""How the layers of members become one; a layer that is missing here cannot be stacked."""
_CONTAINERS = (nn.Sequential, nn.ModuleList, Stackable)


def can_stack(model: nn.Module) -> bool:
    """Whether every layer of the model has a stacked form."""
    if type(model) in _LAYERS:
        return True
    return isinstance(model, _CONTAINERS) and all(can_stack(child) for child in model.children())


def stack(models: Sequence[nn.Module]) -> nn.Module:
    """One module for models of one shape, each with its own weights; a single one may be of any kind.

    Raises ValueError where several cannot be stacked.
    """
    if can_stack(models[0]):
        return _stack(models)
    if len(models) > 1:
        raise ValueError(f"Expected models that can be stacked, got {type(models[0]).__name__}. Train them one by one.")
    return Alone(models[0])


def _stack(models: Sequence[nn.Module]) -> nn.Module:
    if make := _LAYERS.get(type(models[0])):
        return make(models)
    whole = copy.copy(models[0])
    whole._modules = {
        name: _stack([model.get_submodule(name) for model in models]) for name, _ in models[0].named_children()
    }
    return whole


def _stacked(tensors: Iterable[Tensor]) -> nn.Parameter:
    return nn.Parameter(torch.stack([tensor.detach() for tensor in tensors]))


def beside(images: Sequence[Tensor]) -> Tensor:
    """Images joined by their channels, (…, channels, H, W), the channels innermost in memory."""
    if images[0].ndim == 4:
        return torch.cat([one.movedim(-3, -1) for one in images], dim=-1).movedim(-1, -3)
    innermost = torch.cat([one.permute(1, 3, 4, 0, 2) for one in images], dim=-1)
    return innermost.permute(3, 0, 4, 1, 2)


def _side_by_side(images: Tensor) -> Tensor:
    """(B, K * channels, H, W), channels innermost in memory, where pooling and convolutions are quickest."""
    flat = images.transpose(0, 1).flatten(1, 2).contiguous(memory_format=torch.channels_last)
    if flat.shape[1] > 1:
        return flat
    # One channel lies both ways, and layers go by its strides: without these they would answer in the slow layout.
    height, width = flat.shape[2:]
    return flat.as_strided(flat.shape, (height * width, 1, width, 1))


def _apart(images: Tensor, members: int) -> Tensor:
    batch, channels = images.shape[:2]
    return images.view(batch, members, channels // members, *images.shape[2:]).transpose(0, 1)
