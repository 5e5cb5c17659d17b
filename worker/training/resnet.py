"""The residual networks for CIFAR, of depth 6n + 2 (He et al. 2016, section 4.2)."""

import torch
from torch import Tensor, nn
from torch.nn import functional

from .stacked import Stackable


class CifarResNet(Stackable):
    """Logits (B, classes) from images (B, channels, H, W): three stages of `blocks` blocks each.

    The stages have 16, 32 and 64 channels. Shortcuts are He's option A (no parameters). Weights of
    convolutions and of the last layer are drawn as in He et al. 2015 (fan in). With `blocks` = 5 it is
    ResNet-32, 0.46 million parameters.
    """

    def __init__(self, *, channels: int, classes: int, blocks: int) -> None:
        """Builds the network and draws its weights from torch's global generator."""
        super().__init__()
        self.stem = nn.Sequential(_convolution(channels, 16, stride=1), nn.BatchNorm2d(16), nn.ReLU())
        self.stages = nn.Sequential(
            *_stage(16, 16, stride=1, blocks=blocks),
            *_stage(16, 32, stride=2, blocks=blocks),
            *_stage(32, 64, stride=2, blocks=blocks),
        )
        self.head = nn.Linear(64, classes)
        for module in self.modules():
            if isinstance(module, nn.Conv2d | nn.Linear):
                nn.init.kaiming_normal_(module.weight)

    def forward(self, images: Tensor) -> Tensor:
        """The logits (B, classes)."""
        features: Tensor = self.stages(self.stem(images))
        logits: Tensor = self.head(features.mean(dim=(-2, -1)))
        return logits


class _Block(Stackable):
    def __init__(self, in_channels: int, out_channels: int, *, stride: int) -> None:
        super().__init__()
        self.residual = nn.Sequential(
            _convolution(in_channels, out_channels, stride=stride),
            nn.BatchNorm2d(out_channels),
            nn.ReLU(),
            _convolution(out_channels, out_channels, stride=1),
            nn.BatchNorm2d(out_channels),
        )
        self.stride = stride
        self.new_channels = out_channels - in_channels

    def forward(self, images: Tensor) -> Tensor:
        before = self.new_channels // 2
        after = self.new_channels - before
        shortcut = images[..., :: self.stride, :: self.stride]
        shortcut = functional.pad(shortcut, (0, 0, 0, 0, before, after))
        return torch.relu(self.residual(images) + shortcut)


def _stage(in_channels: int, out_channels: int, *, stride: int, blocks: int) -> list[nn.Module]:
    first = _Block(in_channels, out_channels, stride=stride)
    return [first, *(_Block(out_channels, out_channels, stride=1) for _ in range(blocks - 1))]


def _convolution(in_channels: int, out_channels: int, *, stride: int) -> nn.Conv2d:
    return nn.Conv2d(in_channels, out_channels, kernel_size=3, stride=stride, padding=1, bias=False)
