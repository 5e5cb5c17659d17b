"""A user's images with a mask each: which pixels are read as what, and which files are refused by name."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from sweep.datasets import Dataset, Datasets
from sweep.errors import DatasetError, InvalidSweep
from sweep.problems import parse_sweep
from sweep.resolve import resolve

Load = Callable[[str], Dataset]
Labels = NDArray[np.uint8]
HEIGHT, WIDTH = 9, 12
NAMES = ("sky", "straße", "in/out")


def drawn(number: int) -> tuple[NDArray[np.uint8], Labels]:
    """Image and mask of one number: classes 0 to 2 and ignored pixels, all different from number to number."""
    random = np.random.default_rng(number)
    mask = random.choice(np.array([0, 1, 2, 255], dtype=np.uint8), (HEIGHT, WIDTH))
    return random.integers(0, 256, (HEIGHT, WIDTH, 3), dtype=np.uint8), mask


def write(folder: Path, *, images: int = 10, names: tuple[str, ...] = NAMES) -> list[tuple[NDArray[np.uint8], Labels]]:
    """A good data set; answers what is in it, in the order of its files."""
    for part in ("images", "masks"):
        (folder / part).mkdir(parents=True, exist_ok=True)
    made = [drawn(number) for number in range(images)]
    for number, (image, mask) in enumerate(made):
        Image.fromarray(image).save(folder / "images" / f"{number:02}.png")
        Image.fromarray(mask).save(folder / "masks" / f"{number:02}.png")
    if names:
        (folder / "classes.txt").write_text("\n".join(names) + "\n\n", encoding="utf-8")
    return made


def put(folder: Path, place: str, image: NDArray[np.uint8] | Image.Image) -> None:
    (image if isinstance(image, Image.Image) else Image.fromarray(image)).save(folder / place)


def drawn_jpeg(path: Path) -> None:
    Image.fromarray(drawn(1)[1]).save(path, format="JPEG")


def kept(dataset: Dataset) -> dict[bytes, Labels]:
    """The mask of every image, training and test."""
    inputs = np.concatenate([dataset.train_inputs, dataset.test_inputs])
    masks = np.concatenate([dataset.train_labels, dataset.test_labels])
    return {image.tobytes(): mask for image, mask in zip(inputs, masks, strict=True)}


def test_every_image_has_the_mask_of_its_stem(own: Path, load: Load) -> None:
    made = write(own)
    dataset = load("own")
    found = kept(dataset)
    assert len(found) == len(made)
    for image, mask in made:
        np.testing.assert_array_equal(found[image.transpose(2, 0, 1).tobytes()], mask)
    assert (dataset.info.kind, dataset.info.shape, dataset.info.classes) == ("dense", (3, HEIGHT, WIDTH), NAMES)
    assert not dataset.info.is_made_to_order


def test_ignored_pixels_are_counted_nowhere(own: Path, load: Load) -> None:
    made = write(own)
    info = load("own").info
    counts = [sum(int((mask == label).sum()) for _, mask in made) for label in range(3)]
    assert np.add(info.pool_counts, info.test_counts).tolist() == counts
    assert sum(counts) < 10 * HEIGHT * WIDTH


def test_a_fifth_of_the_images_is_set_aside_and_it_is_said(own: Path, load: Load) -> None:
    write(own)
    dataset = load("own")
    assert (len(dataset.train_labels), len(dataset.test_labels)) == (8, 2)
    assert "20% of the images, always the same, are set aside" in dataset.info.source
    assert dataset.image_counts is not None
    for mask, counts_C in zip(dataset.train_labels, dataset.image_counts, strict=True):
        assert [int((mask == label).sum()) for label in range(3)] == counts_C.tolist()


def test_without_a_list_classes_are_called_by_their_numbers(own: Path, load: Load) -> None:
    write(own, names=())
    assert load("own").info.classes == ("0", "1", "2")
    (own / "dataset.toml").write_text('classes = ["a", "b", "c"]')
    assert load("own").info.classes == ("a", "b", "c")


def test_grey_images_have_one_channel_and_one_in_colour_makes_all_three(own: Path, load: Load) -> None:
    for image, number in ((drawn(number)[0], number) for number in range(len(write(own)))):
        put(own, f"images/{number:02}.png", image[:, :, 0])
    assert load("own").info.shape == (1, HEIGHT, WIDTH)
    put(own, "images/03.png", drawn(3)[0])
    dataset = load("own")
    assert dataset.info.shape == (3, HEIGHT, WIDTH)
    assert drawn(3)[0].transpose(2, 0, 1).tobytes() in kept(dataset)


def test_indexed_masks_mean_their_indices_and_not_their_colours(own: Path, load: Load) -> None:
    made = write(own)
    indexed = Image.fromarray(made[4][1])
    indexed.putpalette([value for label in range(256) for value in (255 - label, 7, label // 2)])
    assert indexed.mode == "P"
    put(own, "masks/04.png", indexed)
    found = kept(load("own"))
    np.testing.assert_array_equal(found[made[4][0].transpose(2, 0, 1).tobytes()], made[4][1])


def test_a_size_brings_image_and_mask_to_it_together(own: Path, load: Load) -> None:
    write(own)
    for number, (height, width) in enumerate([(16, 20), (12, 12), (20, 16)] * 3 + [(30, 40)]):
        mask = np.zeros((height, width), dtype=np.uint8)
        mask[:, width // 2 :], mask[height // 2 :] = 1, 2
        put(own, f"masks/{number:02}.png", mask)
        put(own, f"images/{number:02}.png", mask * 100)
    (own / "dataset.toml").write_text("size = 8")
    dataset = load("own")
    assert dataset.info.shape == (1, 8, 8)
    for image, mask in [*zip(dataset.train_inputs, dataset.train_labels, strict=True)]:
        assert set(np.unique(mask)) == {0, 1, 2}  # nothing between the classes
        np.testing.assert_array_equal(mask[[0, 0, 7, 7], [0, 7, 0, 7]], [0, 1, 2, 2])
        np.testing.assert_array_equal(image[0][[0, 0, 7, 7], [0, 7, 0, 7]], [0, 100, 200, 200])


def test_the_same_files_are_read_once_and_changed_ones_again(own: Path, tmp_path: Path) -> None:
    made = write(own)
    first = Datasets(tmp_path).load("own")
    again = Datasets(tmp_path).load("own")
    assert again.info == first.info
    assert kept(again).keys() == kept(first).keys()
    assert isinstance(again.train_inputs, np.memmap)
    put(own, "masks/00.png", np.where(made[0][1] == 0, 1, made[0][1]).astype(np.uint8))
    assert Datasets(tmp_path).info("own").content != first.info.content


def refused(own: Path, load: Load, *parts: str) -> None:
    with pytest.raises(DatasetError) as caught:
        load("own")
    for part in ("Data set 'own': ", *parts):
        assert part in str(caught.value)
    assert not [place for place in own.parent.parent.joinpath("prepared").glob("*") if place.name.startswith("own")]


BAD: dict[str, tuple[Callable[[Path], Any], tuple[str, ...]]] = {
    "a mask of another size than its image": (
        lambda own: put(own, "masks/03.png", np.zeros((HEIGHT, 8), np.uint8)),
        ("masks/03.png is 8 x 9, images/03.png is 12 x 9.", "Expected a mask of its image's size"),
    ),
    "images of two sizes": (
        lambda own: [put(own, f"{part}/03.png", np.zeros((10, 10), np.uint8)) for part in ("images", "masks")],
        ("03.png is 10 x 10", "is 12 x 9", "size = 128"),
    ),
    "a class beyond the list": (
        lambda own: put(own, "masks/05.png", np.full((HEIGHT, WIDTH), 3, np.uint8)),
        ("masks/05.png has a pixel of class 3, beyond the 3 classes", "Expected 0 to 2, or 255"),
    ),
    "an image without a mask": (
        lambda own: (own / "masks/05.png").unlink(),
        ("images/05.png has no mask (1 such files)",),
    ),
    "masks without images": (
        lambda own: [(own / f"images/0{number}.png").unlink() for number in (5, 7)],
        ("masks/05.png has no image (2 such files)",),
    ),
    "a mask in colour": (
        lambda own: put(own, "masks/02.png", np.zeros((HEIGHT, WIDTH, 3), np.uint8)),
        ("masks/02.png has the mode RGB. Expected one class number a pixel",),
    ),
    "a mask of 16 bits": (
        lambda own: put(own, "masks/02.png", Image.fromarray(np.zeros((HEIGHT, WIDTH), np.uint16))),
        ("masks/02.png has the mode I;16",),
    ),
    "an image of 16 bits": (
        lambda own: put(own, "images/02.png", Image.fromarray(np.zeros((HEIGHT, WIDTH), np.uint16))),
        ("images/02.png has more than 8 bits a channel",),
    ),
    "a mask that is no image": (
        lambda own: (own / "masks/06.png").write_bytes(b"no picture"),
        ("masks/06.png cannot be read as an image",),
    ),
    "a mask of another kind under the name": (
        lambda own: drawn_jpeg(own / "masks/06.png"),
        ("masks/06.png cannot be read as an image of the kind PNG",),
    ),
    "an image that breaks off": (
        lambda own: (own / "images/06.png").write_bytes((own / "images/06.png").read_bytes()[:90]),
        ("images/06.png cannot be read as an image",),
    ),
    "another kind of file": (
        lambda own: put(own, "images/aa.jpg", drawn(1)[0]),
        ("images/aa.jpg is no PNG. Expected PNG files only.",),
    ),
    "a folder among the masks": (lambda own: (own / "masks/aa.png").mkdir(), ("masks/aa.png is no PNG",)),
    "a link": (
        lambda own: ((own / "masks/04.png").unlink(), (own / "masks/04.png").symlink_to(own / "masks/05.png")),
        ("masks/04.png is no PNG",),
    ),
    "a class listed twice": (
        lambda own: (own / "classes.txt").write_text("sky\nroad\nsky\n"),
        ("classes.txt has 3 classes, 2 of them different",),
    ),
    "a list that is no text": (lambda own: (own / "classes.txt").write_bytes(b"\xff\xfe\n"), ("not UTF-8 text",)),
    "a class that no image shows": (
        lambda own: (own / "classes.txt").write_text("sky\nroad\nriver\nbird"),
        ("too few images show 'bird' (0). Expected each class in at least 3 images",),
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", BAD)
def test_bad_files_are_refused_by_name(case: str, own: Path, load: Load) -> None:
    write(own)
    spoil, parts = BAD[case]
    spoil(own)
    refused(own, load, *parts)


def test_empty_folders_are_refused(own: Path, load: Load) -> None:
    for part in ("images", "masks"):
        (own / part).mkdir()
    refused(own, load, "images/ is empty")


@pytest.mark.parametrize(
    "imbalance", [{"profile": "exponential", "ratios": [10]}, {"profile": "counts", "counts": dict.fromkeys(NAMES, 9)}]
)
def test_only_the_natural_profile_can_be_made_of_them(imbalance: object, own: Path, load: Load) -> None:
    write(own)
    info = load("own").info
    with pytest.raises(InvalidSweep) as caught:
        resolve(parse_sweep(json.dumps({"dataset": "own", "imbalance": imbalance})), info)
    (problem,) = caught.value.problems
    assert problem.field == "imbalance.profile"
    assert "the pixels of own cannot be dropped from its images" in problem.problem
    (natural,) = resolve(parse_sweep('{"dataset": "own", "imbalance": {"profile": "natural"}}'), info).scenarios
    assert natural.counts == info.pool_counts
