"""The models of the works, in plain PyTorch."""

import torch
from torch import Tensor, nn

from .work import Work


def build_model(work: Work, *, input_shape: tuple[int, ...]) -> nn.Module:
    """The work's model, with fresh weights from the global generator."""
    if work.model == "mlp":
        return mlp(input_shape[0], work.classes, **work.model_params)
    if work.model == "small_cnn":
        return small_cnn(input_shape[0], work.classes, **work.model_params)
    if work.model == "unet":
        return UNet(input_shape[0], work.classes, **work.model_params)
    raise ValueError(f"Expected mlp, small_cnn or unet as model, got {work.model!r}.")


def mlp(features: int, classes: int, width: int = 128, depth: int = 1, dropout: float = 0.0) -> nn.Sequential:
    """`depth` hidden layers."""
    layers: list[nn.Module] = []
    for level in range(depth):
        layers += [nn.Linear(width if level else features, width), nn.ReLU()]
        layers += [nn.Dropout(dropout)] if dropout else []
    return nn.Sequential(*layers, nn.Linear(width, classes))


def small_cnn(channels: int, classes: int, width: int = 16) -> nn.Sequential:
    """Three convolutions, each followed by pooling and batch normalisation."""
    return nn.Sequential(
        nn.Conv2d(channels, width, kernel_size=3, padding=1, bias=False),
        nn.MaxPool2d(2),
        nn.BatchNorm2d(width),
        nn.ReLU(),
        nn.Conv2d(width, 2 * width, kernel_size=3, padding=1, bias=False),
        nn.MaxPool2d(2),
        nn.BatchNorm2d(2 * width),
        nn.ReLU(),
        nn.Conv2d(2 * width, 4 * width, kernel_size=3, padding=1, bias=False),
        nn.MaxPool2d(2),
        nn.BatchNorm2d(4 * width),
        nn.ReLU(),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(4 * width, classes),
    )


class UNet(nn.Module):
    """A small U-Net for images whose sides halve evenly `depth` times."""

    def __init__(self, channels: int, classes: int, width: int = 16, depth: int = 2) -> None:
        """`width` channels at the first level, twice as many at each level below."""
        super().__init__()
        widths = [width * 2**level for level in range(depth + 1)]
        self.encoders = nn.ModuleList(
            double_conv(before, after) for before, after in zip([channels, *widths[:-1]], widths, strict=True)
        )
        self.decoders = nn.ModuleList(
            double_conv(below + level, level) for level, below in zip(widths[-2::-1], widths[:0:-1], strict=True)
        )
        self.pool = nn.MaxPool2d(2)
        self.upsample = nn.Upsample(scale_factor=2)
        self.head = nn.Conv2d(width, classes, kernel_size=1)

    def forward(self, x: Tensor) -> Tensor:
        """Logits (N, classes, H, W)."""
        skips: list[Tensor] = []
        for encoder in self.encoders[:-1]:
            x = encoder(x)
            skips.append(x)
            x = self.pool(x)
        x = self.encoders[-1](x)
        for decoder in self.decoders:
            x = decoder(torch.cat([self.upsample(x), skips.pop()], dim=1))
        logits: Tensor = self.head(x)
        return logits


def double_conv(before: int, after: int) -> nn.Sequential:
    """Two convolutions, each with batch normalisation."""
    return nn.Sequential(
        nn.Conv2d(before, after, kernel_size=3, padding=1, bias=False),
        nn.BatchNorm2d(after),
        nn.ReLU(),
        nn.Conv2d(after, after, kernel_size=3, padding=1, bias=False),
        nn.BatchNorm2d(after),
        nn.ReLU(),
    )
