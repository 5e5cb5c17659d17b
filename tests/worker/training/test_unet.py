"""The U-Net: any size of image, one logit a class and pixel, and the size that width and depth say."""

import pytest
import torch
from torch import nn

from worker.training.models import build_model
from worker.training.unet import UNet


def build(shape: tuple[int, int, int] = (3, 8, 8), **params: int) -> nn.Module:
    """A U-Net of four classes, ready to predict."""
    return build_model("unet", input_shape=shape, classes=4, params=params, seed=3).eval()


@pytest.mark.parametrize("size", [(8, 8), (9, 13), (8, 31), (17, 8), (33, 35)])
@pytest.mark.parametrize("depth", [1, 2, 5])
@pytest.mark.parametrize("channels", [1, 3])
def test_every_pixel_gets_logits_whatever_the_size(size: tuple[int, int], depth: int, channels: int) -> None:
    model = build((channels, *size), width=2, depth=depth)
    assert model(torch.zeros(2, channels, *size)).shape == (2, 4, *size)


def trained_numbers(*, channels: int, width: int, depth: int) -> int:
    """Kernels of 3 x 3 without bias, two numbers a normalised channel, and the head of 1 x 1 with its bias."""
    convolutions = [(channels, width), (width, width)]
    for level in range(1, depth + 1):
        here = width * 2**level
        convolutions += [(here // 2, here), (here, here), (here + here // 2, here // 2), (here // 2, here // 2)]
    return sum(9 * a * b + 2 * b for a, b in convolutions) + 4 * width + 4


@pytest.mark.parametrize(("channels", "width", "depth"), [(3, 16, 2), (1, 16, 2), (3, 2, 1), (1, 4, 3)])
def test_it_has_the_size_that_width_and_depth_say(channels: int, width: int, depth: int) -> None:
    model = build((channels, 8, 8), width=width, depth=depth)
    size = sum(parameter.numel() for parameter in model.parameters())
    assert size == trained_numbers(channels=channels, width=width, depth=depth)


def test_the_usual_one_has_width_16_and_depth_2() -> None:
    assert sum(parameter.numel() for parameter in build().parameters()) == 118_644


def reach(model: nn.Module, pixel: tuple[int, int], side: int) -> torch.Tensor:
    """Which pixels of an image move the logits of one pixel (side, side), bool."""
    image = torch.rand(1, 3, side, side, requires_grad=True)
    model(image)[0, :, *pixel].sum().backward()
    assert image.grad is not None
    return image.grad[0].abs().sum(0) > 0


def test_what_lies_below_widens_the_view() -> None:
    # Two convolutions see 2 pixels to either side, and the two behind them as many again.
    for depth, least in ((1, 9), (2, 15)):
        seen = reach(build((3, 32, 32), width=4, depth=depth), (16, 16), 32)
        rows = int(seen.any(dim=1).sum())
        assert rows >= least
    assert rows > int(reach(build((3, 32, 32), width=4, depth=1), (16, 16), 32).any(dim=1).sum())


def test_the_picture_and_its_details_both_reach_the_head() -> None:
    model = build((3, 16, 16), width=4, depth=2)
    assert isinstance(model, UNet)
    usual = model(torch.rand(1, 3, 16, 16, generator=torch.Generator().manual_seed(1)))
    for block in (*model.down, *model.up):
        kept = block[-3].weight.data.clone()  # of the last convolution
        block[-3].weight.data.zero_()
        changed = model(torch.rand(1, 3, 16, 16, generator=torch.Generator().manual_seed(1)))
        assert not torch.equal(changed, usual)
        block[-3].weight.data.copy_(kept)


def test_a_shift_by_the_coarsest_cell_shifts_the_logits() -> None:
    model = build((3, 32, 32), width=4, depth=2)
    image = torch.rand(1, 3, 64, 64, generator=torch.Generator().manual_seed(2))
    with torch.no_grad():
        here, there = model(image), model(image.roll((4, 8), dims=(2, 3)))
    inner = (slice(None), slice(None), slice(28, 40), slice(28, 40))
    torch.testing.assert_close(there.roll((-4, -8), dims=(2, 3))[inner], here[inner], atol=1e-4, rtol=0)
