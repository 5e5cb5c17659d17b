"""A user's images."""

import struct
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from sweep.datasets import Dataset
from sweep.errors import DatasetError

Load = Callable[[str], Dataset]
RANDOM = np.random.default_rng(0)


def picture(width: int, height: int, mode: str = "L") -> Image.Image:
    shape = (height, width) if mode == "L" else (height, width, len(mode))
    return Image.fromarray(RANDOM.integers(0, 256, shape, dtype=np.uint8), mode=None)


def write(folder: Path, classes: dict[str, int], *, size: tuple[int, int] = (9, 8), mode: str = "L") -> None:
    for name, count in classes.items():
        (folder / name).mkdir(parents=True, exist_ok=True)
        for number in range(count):
            picture(*size, mode=mode).save(folder / name / f"{number:03}.png")


def test_images_of_one_size_are_kept_as_they_are(own: Path, load: Load) -> None:
    write(own / "train", {"dog": 4, "cat ü": 3})
    write(own / "test", {"dog": 1, "cat ü": 2})
    dataset = load("own")
    info = dataset.info
    assert (info.kind, info.shape, info.classes) == ("image", (1, 8, 9), ("cat ü", "dog"))
    assert (info.pool_counts, info.test_counts) == ((3, 4), (2, 1))
    kept = np.asarray(Image.open(own / "test" / "dog" / "000.png"))
    np.testing.assert_array_equal(dataset.test_inputs[dataset.test_labels == 1][0, 0], kept)


def test_without_parts_a_fifth_is_set_aside(own: Path, load: Load) -> None:
    write(own, {"2": 10, "10": 5, "1": 3})
    info = load("own").info
    assert (info.classes, info.pool_counts, info.test_counts) == (("1", "2", "10"), (2, 8, 4), (1, 2, 1))


def test_any_colour_makes_all_images_colour(own: Path, load: Load) -> None:
    write(own, {"a": 5, "b": 4})
    Image.new("RGBA", (9, 8), (200, 10, 30, 0)).save(own / "b" / "red.png")
    dataset = load("own")
    assert dataset.info.shape == (3, 8, 9)
    images = np.concatenate([dataset.train_inputs, dataset.test_inputs])
    assert any((image == np.array([200, 10, 30])[:, None, None]).all() for image in images)


def test_images_of_several_sizes_are_cropped_to_the_middle(own: Path, load: Load) -> None:
    write(own, {"a": 5, "b": 4})
    wide = Image.new("L", (200, 100), 0)
    wide.paste(255, (50, 0, 150, 100))
    wide.save(own / "b" / "wide.png")
    dataset = load("own")
    assert dataset.info.shape == (1, 64, 64)
    images = np.concatenate([dataset.train_inputs, dataset.test_inputs])
    assert any((image[0, :, 2:-2] == 255).all() for image in images)


def test_the_recipe_gives_the_size(own: Path, load: Load) -> None:
    write(own, {"a": 5, "b": 5}, mode="RGB")
    (own / "dataset.toml").write_text("size = 16")
    assert load("own").info.shape == (3, 16, 16)


def test_a_turned_photo_is_set_upright(own: Path, load: Load) -> None:
    write(own, {"a": 5, "b": 4}, size=(8, 16))
    turned = Image.new("L", (16, 8), 0)
    turned.paste(255, (0, 0, 8, 8))
    exif = turned.getexif()
    exif[0x0112] = 6
    turned.save(own / "b" / "turned.jpg", exif=exif, quality=95)
    dataset = load("own")
    assert dataset.info.shape == (1, 16, 8)
    images = np.concatenate([dataset.train_inputs, dataset.test_inputs])
    assert any((image[0, :7] > 240).all() and (image[0, 9:] < 15).all() for image in images)


def bomb() -> bytes:
    """A PNG of a few bytes that claims 30,000 x 30,000 pixels."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", 30_000, 30_000, 8, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"")) + chunk(b"IEND", b"")


def test_files_that_cannot_be_decoded_are_named(own: Path, load: Load) -> None:
    write(own, {"a": 5, "b": 5})
    cut = (own / "a" / "000.png").read_bytes()[:-30]
    for content in (b"", b"no image", cut, bomb()):
        (own / "b" / "odd.png").write_bytes(content)
        with pytest.raises(DatasetError, match=r"b/odd\.png cannot be read as an image"):
            load("own")


def test_deep_images_are_refused_by_name(own: Path, load: Load) -> None:
    write(own, {"a": 5, "b": 5})
    Image.fromarray(np.full((8, 9), 40_000, dtype=np.uint16)).save(own / "a" / "deep.png")
    with pytest.raises(DatasetError, match=r"a/deep\.png has more than 8 bits"):
        load("own")


@pytest.mark.parametrize("stray", ["a/notes.txt", "a/inner/x.png"])
def test_what_is_no_image_is_refused_by_name(own: Path, load: Load, stray: str) -> None:
    write(own, {"a": 5, "b": 5})
    (own / stray).parent.mkdir(exist_ok=True)
    (own / stray).write_text("x")
    with pytest.raises(DatasetError, match=f"{'/'.join(stray.split('/')[:2])} is no image"):
        load("own")


def test_what_systems_leave_in_folders_is_passed_over(own: Path, load: Load) -> None:
    write(own, {"a": 5, "b": 5})
    for stray in (".DS_Store", "a/.DS_Store", "b/Thumbs.db", "README.md"):
        (own / stray).write_text("x")
    assert load("own").info.pool_counts == (4, 4)


def test_a_class_in_the_test_part_alone_is_refused(own: Path, load: Load) -> None:
    write(own / "train", {"a": 5, "b": 5})
    write(own / "test", {"a": 1, "b": 1, "c": 1})
    with pytest.raises(DatasetError, match=r"for training in 'c' \(0\)"):
        load("own")
