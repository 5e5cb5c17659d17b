"""Layers of many members as one: every parameter has the member in front, and a layer is launched once for all.

Shapes: K members, B samples a batch; vectors are (K, B, F), images (K, B, channels, H, W). Convolutions see the
members side by side in the channels, as groups (HFTA: Wang et al., "Horizontally Fused Training Array", MLSys 2021).
"""

from collections.abc import Iterable, Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional


class Linear(nn.Module):
    """`nn.Linear` of every member."""

    def __init__(self, layers: Sequence[nn.Linear]) -> None:
        """Stacks weights (K, out, in) and, where there are any, biases (K, 1, out)."""
        super().__init__()
        self.weight = stacked(layer.weight for layer in layers)
        self.bias = _stacked_biases([layer.bias for layer in layers])
        if self.bias is not None:
            self.bias.data = self.bias.data[:, None]

    def forward(self, inputs: Tensor) -> Tensor:
        """(K, B, …, out)."""
        flat = inputs.flatten(1, -2)
        weight = self.weight.transpose(1, 2)
        mapped = torch.bmm(flat, weight) if self.bias is None else torch.baddbmm(self.bias, flat, weight)
        return mapped if inputs.ndim == 3 else mapped.view(*inputs.shape[:-1], -1)


class Conv2d(nn.Module):
    """`nn.Conv2d` of every member, as one convolution in groups."""

    def __init__(self, layers: Sequence[nn.Conv2d]) -> None:
        """Stacks weights (K, out, in, kernel, kernel) and, where there are any, biases (K, out)."""
        super().__init__()
        first = layers[0]
        self.weight = stacked(layer.weight for layer in layers)
        self.bias = _stacked_biases([layer.bias for layer in layers])
        self._stride, self._padding, self._dilation, self._groups = (
            first.stride, first.padding, first.dilation, first.groups,
        )  # fmt: skip

    def forward(self, images: Tensor) -> Tensor:
        """(K, B, out, H, W)."""
        members = len(self.weight)
        bias = None if self.bias is None else self.bias.flatten()
        convolved = functional.conv2d(
            _side_by_side(images), self.weight.flatten(0, 1), bias, self._stride, self._padding, self._dilation,
            groups=members * self._groups,
        )  # fmt: skip
        return _apart(convolved, members)


class BatchNorm2d(nn.Module):
    """`nn.BatchNorm2d` of every member: each normalises over its own batch and keeps its own running moments."""

    running_mean: Tensor
    running_var: Tensor

    def __init__(self, layers: Sequence[nn.BatchNorm2d]) -> None:
        """Stacks scale, shift and running moments, all (K, channels)."""
        super().__init__()
        self.weight = stacked(layer.weight for layer in layers)
        self.bias = stacked(layer.bias for layer in layers)
        for name in ("running_mean", "running_var"):
            self.register_buffer(name, torch.stack([getattr(layer, name) for layer in layers]))
        self._momentum, self._eps = layers[0].momentum, layers[0].eps

    def forward(self, images: Tensor) -> Tensor:
        """(K, B, channels, H, W)."""
        normalised = functional.batch_norm(
            _side_by_side(images),
            self.running_mean.view(-1),
            self.running_var.view(-1),
            # Views of one channel a member have gaps, which torch's backward pass does not see.
            self.weight.flatten().contiguous(),
            self.bias.flatten().contiguous(),
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


class Dropout(nn.Module):
    """`nn.Dropout` or `nn.Dropout2d` of every member, whose masks come from its seed and not from its neighbours."""

    def __init__(self, layers: Sequence[nn.Dropout | nn.Dropout2d]) -> None:
        """Takes what the layers are alike in; `reseed` comes before the first mask."""
        super().__init__()
        self._p, self._by_channel = layers[0].p, isinstance(layers[0], nn.Dropout2d)
        self._generators: list[torch.Generator] = []

    def reseed(self, seeds: Sequence[int], device: torch.device) -> None:
        """Starts the masks of each member anew; those of one seed, which pair, have the same masks."""
        streams = {seed: torch.Generator(device).manual_seed(seed) for seed in seeds}
        self._generators = list(streams.values())
        order = {seed: r for r, seed in enumerate(streams)}
        self._row_K = torch.tensor([order[seed] for seed in seeds]).to(device, non_blocking=True)

    def forward(self, inputs: Tensor) -> Tensor:
        """(K, B, …) with a share of the values 0, and the others larger by as much; as it is in evaluation."""
        if not self.training or self._p == 0:
            return inputs
        shape = (*inputs.shape[1:3], 1, 1) if self._by_channel else inputs.shape[1:]
        draws = [torch.rand(shape, generator=generator, device=inputs.device) for generator in self._generators]
        stays = torch.stack(draws)[self._row_K] >= self._p
        return inputs * stays / (1 - self._p) if self._p < 1 else torch.zeros_like(inputs)


def stacked(tensors: Iterable[Tensor]) -> nn.Parameter:
    """One parameter (K, …) of the members' values."""
    return nn.Parameter(torch.stack([tensor.detach() for tensor in tensors]))


def beside(images: Sequence[Tensor]) -> Tensor:
    """Images joined by their channels, (…, channels, H, W), the channels innermost in memory."""
    if images[0].ndim == 4:
        return torch.cat([one.movedim(-3, -1) for one in images], dim=-1).movedim(-1, -3)
    innermost = torch.cat([one.permute(1, 3, 4, 0, 2) for one in images], dim=-1)
    return innermost.permute(3, 0, 4, 1, 2)


def _stacked_biases(biases: Sequence[Tensor | None]) -> nn.Parameter | None:
    found = [bias for bias in biases if bias is not None]
    return stacked(found) if found else None


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
