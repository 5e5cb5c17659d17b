"""A small U-Net (Ronneberger, Fischer and Brox, "U-Net", MICCAI 2015).

Unlike theirs it pads its convolutions and normalises batches, and it enlarges by repeating pixels.
"""

from itertools import pairwise

from torch import Tensor, nn
from torch.nn import functional

from .layers import beside
from .stacked import Stackable


class UNet(Stackable):
    """From images (B, channels, H, W) of any size to logits (B, classes, H, W)."""

    def __init__(self, *, channels: int, classes: int, width: int, depth: int) -> None:
        """`width` channels at the first level, twice as many at each of the `depth` levels below it."""
        super().__init__()
        widths = [width * 2**level for level in range(depth + 1)]
        self.down = nn.ModuleList(_block(before, after) for before, after in pairwise([channels, *widths]))
        self.up = nn.ModuleList(_block(below + level, level) for level, below in pairwise(widths))
        self.shrink, self.enlarge = nn.MaxPool2d(2), nn.Upsample(scale_factor=2)
        self.head = nn.Conv2d(width, classes, kernel_size=1)

    def forward(self, images: Tensor) -> Tensor:
        """The logits; sides that do not halve evenly are padded, and cut again."""
        height, width = images.shape[-2:]
        multiple = 2 ** len(self.up)
        features = functional.pad(images, (0, -width % multiple, 0, -height % multiple))
        levels: list[Tensor] = []
        for level, block in enumerate(self.down):
            features = block(self.shrink(features) if level else features)
            levels.append(features)
        for level in reversed(range(len(self.up))):
            features = self.up[level](beside([self.enlarge(features), levels[level]]))
        logits: Tensor = self.head(features)
        return logits[..., :height, :width]


def _block(before: int, after: int) -> nn.Sequential:
    return nn.Sequential(*_convolution(before, after), *_convolution(after, after))


def _convolution(before: int, after: int) -> tuple[nn.Module, ...]:
    return (
        nn.Conv2d(before, after, kernel_size=3, padding=1, bias=False),
        nn.BatchNorm2d(after),
        nn.ReLU(),
    )
