"""The data sets that need no files."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
from sklearn.datasets import load_digits

from sweep.datasets import Dataset, Datasets

Load = Callable[[str], Dataset]


def test_toy2d_has_three_classes_in_the_plane(load: Load) -> None:
    dataset = load("toy2d")
    assert (dataset.info.kind, dataset.info.shape, dataset.info.columns) == ("vector", (2,), ("x", "y"))
    assert dataset.info.pool_counts == (2000,) * 3
    assert dataset.info.test_counts == (1000,) * 3
    assert dataset.train_inputs.dtype == np.float32
    assert dataset.train_labels.dtype == np.int64


def test_toy2d_is_the_same_everywhere(tmp_path: Path) -> None:
    one, other = (Datasets(tmp_path / place).info("toy2d").content for place in ("a", "b"))
    assert one == other


def test_toy2d_classes_overlap_but_can_be_told_apart(load: Load) -> None:
    dataset = load("toy2d")
    distances = np.linalg.norm(dataset.test_inputs[::10, None] - dataset.train_inputs[None], axis=2)
    nearest = dataset.train_labels[distances.argmin(axis=1)]
    assert 0.8 < (nearest == dataset.test_labels[::10]).mean() < 0.99


def test_digits_are_those_of_scikit_learn_with_a_quarter_for_testing(load: Load) -> None:
    dataset = load("digits")
    pixels, _ = load_digits(return_X_y=True)
    rows = np.concatenate([dataset.train_inputs, dataset.test_inputs])
    assert sorted(map(tuple, rows * 16)) == sorted(map(tuple, pixels))
    assert dataset.info.classes == tuple("0123456789")
    counts = np.array(dataset.info.pool_counts) + np.array(dataset.info.test_counts)
    assert dataset.info.test_counts == tuple((counts // 4).tolist())
    assert "25% of each class" in dataset.info.source
