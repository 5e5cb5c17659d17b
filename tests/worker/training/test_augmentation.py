"""Views of images: crops within the padding, flips of colour images alone."""

import numpy as np
import torch

from worker.training.augmentation import draw_views, show


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
