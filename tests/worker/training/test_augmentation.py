"""Views of images: crops within the padding, flips of colour images alone; and flips of images with their masks."""

import numpy as np
import torch

from worker.training.augmentation import draw_flips, draw_views, flip, show


def test_show_crops_and_mirrors_each_image_as_its_view_says() -> None:
    images = torch.arange(2 * 3 * 8 * 16, dtype=torch.uint8).view(2, 3, 8, 16)
    views = torch.tensor([[0, 3, 1], [4, 2, 0]])
    padded = np.pad(images.numpy(), ((0, 0), (0, 0), (2, 2), (2, 2)))
    expected = np.stack([padded[0, :, 0:8, 3:19][:, :, ::-1], padded[1, :, 4:12, 2:18]])
    np.testing.assert_array_equal(show(images, views).numpy(), expected)


def test_offsets_cover_the_padding_on_every_side() -> None:
    views = draw_views(4000, image_shape=(3, 32, 32), generator=torch.Generator().manual_seed(1))
    assert views.min(dim=0).values.tolist() == [0, 0, 0]
    assert views.max(dim=0).values.tolist() == [8, 8, 1]
    assert abs(views[:, 2].float().mean().item() - 0.5) < 0.05


def test_grey_images_are_never_mirrored() -> None:
    views = draw_views(1000, image_shape=(1, 28, 28), generator=torch.Generator().manual_seed(1))
    assert views[:, 2].eq(0).all()
    assert views[:, :2].max() == 6


def test_an_image_and_its_mask_are_flipped_together() -> None:
    masks = torch.arange(4 * 5 * 6).view(4, 5, 6)
    images = torch.stack([masks, masks + 1000, masks + 2000], dim=1)
    flips = torch.tensor([[False, False], [True, False], [False, True], [True, True]])
    expected = np.stack([mask[over, across] for mask, over, across in zip(
        masks.numpy(),
        [slice(None), slice(None, None, -1), slice(None), slice(None, None, -1)],
        [slice(None), slice(None), slice(None, None, -1), slice(None, None, -1)],
        strict=True,
    )])  # fmt: skip
    np.testing.assert_array_equal(flip(masks, flips).numpy(), expected)
    for channel in range(3):
        np.testing.assert_array_equal(flip(images, flips)[:, channel].numpy(), expected + 1000 * channel)


def test_each_of_the_four_flips_is_drawn_as_often() -> None:
    flips = draw_flips(4000, generator=torch.Generator().manual_seed(1))
    assert (flips.shape, flips.dtype) == ((4000, 2), torch.bool)
    shares = torch.bincount(2 * flips[:, 0].long() + flips[:, 1].long(), minlength=4) / 4000
    assert (shares - 0.25).abs().max() < 0.03
    assert torch.equal(flips, draw_flips(4000, generator=torch.Generator().manual_seed(1)))
