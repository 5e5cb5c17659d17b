"""The synthetic set with a label a pixel: as many pixels of each class as were asked for, and the same ever after."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest
from scipy import ndimage

from sweep.datasets import Dataset, Datasets
from sweep.errors import DatasetError, ImbalanceError, InvalidSweep
from sweep.imbalance import pixel_counts
from sweep.problems import parse_sweep
from sweep.split import split_images

SMALL: Mapping[str, float | str] = {"size": 16, "images": 20, "classes": 2}
COUNTS = (4_620, 400, 100)
"""Of 20 images of 16 x 16."""


def label_counts(masks: np.ndarray, classes: int) -> tuple[int, ...]:
    return tuple(np.bincount(masks.ravel(), minlength=classes).tolist())


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data folder, in which a set that was made once is found again."""
    return tmp_path_factory.mktemp("shapes")


def test_each_part_has_exactly_the_pixels_asked_for(tmp_path: Path) -> None:
    made = Datasets(tmp_path).load("shapes", options=SMALL, counts=COUNTS)
    assert label_counts(made.train_labels, 3) == label_counts(made.test_labels, 3) == COUNTS
    assert made.info.pool_counts == made.info.test_counts == COUNTS
    assert (made.info.kind, made.info.is_made_to_order) == ("dense", True)
    assert made.info.classes == ("background", "disc", "square")
    assert made.train_inputs.shape == made.test_inputs.shape == (20, 3, 16, 16)
    assert {str(made.train_inputs.dtype), str(made.train_labels.dtype)} == {"uint8"}
    assert made.image_counts is not None
    for mask, counts_C in zip(made.train_labels, made.image_counts, strict=True):
        assert label_counts(mask, 3) == tuple(counts_C)


def test_training_and_test_images_are_different_ones(tmp_path: Path) -> None:
    made = Datasets(tmp_path).load("shapes", options=SMALL, counts=COUNTS)
    assert not any(np.array_equal(*pair) for pair in zip(made.train_labels, made.test_labels, strict=True))


@pytest.mark.parametrize("ratio", [1, 30, 100, 250])
def test_what_validation_leaves_to_train_on_has_the_ratio_asked_for(ratio: int, folder: Path) -> None:
    datasets = Datasets(folder)
    info = datasets.info("shapes")
    assert info.shape == (3, 48, 48)
    counts = pixel_counts("exponential", pixels=sum(info.pool_counts), classes=len(info.classes), ratio=ratio)
    made = datasets.load("shapes", counts=counts)
    assert made.image_counts is not None
    for seed in range(10):
        part = split_images(made.image_counts, fraction=0.2, seed=100 * seed)
        trained = label_counts(made.train_labels[part.train], 4)
        assert trained[0] / trained[3] == pytest.approx(ratio, rel=0.05)
        assert min(label_counts(made.train_labels[part.validation], 4)) > 0
        assert sum(trained) + 48 * 48 * len(part.validation) == 400 * 48 * 48


def arrays(made: Dataset) -> list[bytes]:
    return [
        np.asarray(array).tobytes()
        for array in (made.train_inputs, made.train_labels, made.test_inputs, made.test_labels)
    ]


def test_the_same_order_makes_the_same_bytes_wherever_it_is_made(tmp_path: Path) -> None:
    one, again = (Datasets(tmp_path / place).load("shapes", options=SMALL, counts=COUNTS) for place in "ab")
    assert arrays(one) == arrays(again)
    assert one.info.content == again.info.content


@pytest.mark.parametrize(
    ("options", "counts"), [(SMALL, (4_520, 400, 200)), ({**SMALL, "noise": 0.3}, COUNTS), ({**SMALL}, None)]
)
def test_another_order_makes_another_set(
    options: Mapping[str, float | str], counts: tuple[int, ...] | None, folder: Path
) -> None:
    datasets = Datasets(folder)
    usual = datasets.load("shapes", options=SMALL, counts=COUNTS).info
    assert datasets.load("shapes", options=options, counts=counts).info.content != usual.content


def test_without_counts_all_classes_have_as_many(folder: Path) -> None:
    counts = Datasets(folder).info("shapes", options=SMALL).pool_counts
    assert sum(counts) == 20 * 16 * 16
    assert max(counts) - min(counts) <= 2


def test_a_class_lies_in_shapes_and_not_in_grains(folder: Path) -> None:
    made = Datasets(folder).load("shapes", options=SMALL, counts=COUNTS)
    pieces = sum(ndimage.label(mask == 2)[1] for mask in made.train_labels)
    assert pieces <= COUNTS[2] / 4


def test_without_noise_a_shape_has_one_colour_and_with_noise_many(folder: Path) -> None:
    def colours(noise: float) -> int:
        made = Datasets(folder).load("shapes", options={**SMALL, "noise": noise}, counts=COUNTS)
        image, mask = made.train_inputs[0], made.train_labels[0]
        return len(np.unique(image[:, mask == 0], axis=1).T)

    assert colours(0.0) == 1
    assert colours(0.15) > 20


def asked(**options: object) -> object:
    body = f'{{"dataset": {{"name": "shapes"{"".join(f", {chr(34)}{k}{chr(34)}: {v}" for k, v in options.items())}}}'
    return parse_sweep(f'{body}, "imbalance": {{"profile": "exponential", "ratios": [10]}}}}').dataset.params


@pytest.mark.parametrize(
    ("option", "least", "most", "whole"),
    [("size", 16, 512, True), ("images", 20, 20_000, True), ("classes", 1, 6, True), ("noise", 0, 1, False)],
)
def test_options_have_bounds(option: str, least: float, most: float, whole: bool) -> None:
    assert asked(**{option: least}) == {option: least}
    assert asked(**{option: most}) == {option: most}
    for value in (least - 1, most + 1, *([least + 0.5] if whole else [])):
        with pytest.raises(InvalidSweep) as refused:
            asked(**{option: value})
        (problem,) = refused.value.problems
        assert (problem.field, problem.problem) == ("dataset", f"{option} {value!r} is out of bounds.")
        assert problem.expected.endswith(f"in [{least:g}, {most:g}]")


def test_an_unknown_option_is_refused_with_the_known_ones() -> None:
    with pytest.raises(InvalidSweep, match=r"shapes takes no 'depth'\. Expected only size, images, classes, noise"):
        asked(depth=3)


def test_more_pixels_than_anybody_wants_are_refused_before_they_are_drawn(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match=r"'shapes': 20000 images of 512 x 512 have 5,242,880,000 pixels\. Expected"):
        Datasets(tmp_path).info("shapes", options={"size": 512, "images": 20_000})


def test_a_class_of_a_handful_of_pixels_is_refused() -> None:
    with pytest.raises(ImbalanceError, match="smallest class would have 4 of 5120 pixels"):
        pixel_counts("exponential", pixels=5_120, classes=4, ratio=1_000)
