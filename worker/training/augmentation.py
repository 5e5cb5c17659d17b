"""Random crops and flips of image batches, and of their masks, all at once on the device."""

import torch
from torch import Tensor
from torch.nn import functional

PADDING_SHARE = 8
"""Images are padded by one part in this many of their longer side before the crop: 4 pixels for 32 by 32."""


def draw_views(count: int, *, image_shape: tuple[int, int, int], generator: torch.Generator) -> Tensor:
    """How each of `count` images is shown: offset in rows and in columns, mirrored or not (count, 3), int64.

    Only images of three channels are mirrored: grey ones may be digits or letters, which a mirror makes into
    others. Drawn on the CPU, so that every device sees the same views.
    """
    channels, height, width = image_shape
    offsets = torch.randint(2 * _padding(height, width) + 1, (count, 2), generator=generator)
    mirrored = torch.randint(2, (count, 1), generator=generator) * int(channels == 3)
    return torch.cat([offsets, mirrored], dim=1)


def show(images: Tensor, view_B3: Tensor) -> Tensor:
    """Each image padded with zeros, cropped at its offset to its own size, mirrored where its view says so.

    `images` (B, channels, H, W) of any dtype, views as drawn by `draw_views`, on the same device.
    """
    _, channels, height, width = images.shape
    padding = _padding(height, width)
    padded = functional.pad(images, (padding, padding, padding, padding))
    top_B, left_B, mirrored_B = view_B3.unbind(1)
    columns_W = torch.arange(width, device=images.device)
    rows_BH = top_B[:, None] + torch.arange(height, device=images.device)
    columns_BW = left_B[:, None] + torch.where(mirrored_B[:, None] == 1, width - 1 - columns_W, columns_W)
    samples_B = torch.arange(len(images), device=images.device)
    channels_C = torch.arange(channels, device=images.device)
    return padded[
        samples_B[:, None, None, None],
        channels_C[:, None, None],
        rows_BH[:, None, :, None],
        columns_BW[:, None, None, :],
    ]


def draw_flips(count: int, *, generator: torch.Generator) -> Tensor:
    """Whether each of `count` images is turned upside down, and whether it is mirrored (count, 2), bool.

    Drawn on the CPU, so that every device sees the same flips.
    """
    return torch.randint(2, (count, 2), generator=generator).bool()


def flip(tensor: Tensor, flip_B2: Tensor) -> Tensor:
    """Each image or mask (B, ..., H, W) flipped as `draw_flips` says; the same flips keep them together."""
    over_B, across_B = (chosen.view(-1, *[1] * (tensor.ndim - 1)) for chosen in flip_B2.unbind(1))
    tensor = torch.where(over_B, tensor.flip(-2), tensor)
    return torch.where(across_B, tensor.flip(-1), tensor)


def _padding(height: int, width: int) -> int:
    return max(height, width) // PADDING_SHARE
