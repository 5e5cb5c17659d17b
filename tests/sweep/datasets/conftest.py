"""A data folder with a place for a user's own files."""

from collections.abc import Callable
from pathlib import Path

import pytest

from sweep.datasets import Dataset, Datasets


@pytest.fixture
def own(tmp_path: Path) -> Path:
    """The folder of a user's data set called `own`."""
    folder = tmp_path / "datasets" / "own"
    folder.mkdir(parents=True)
    return folder


@pytest.fixture
def load(tmp_path: Path) -> Callable[[str], Dataset]:
    """Loads a data set of the data folder by name."""
    return lambda name: Datasets(tmp_path).load(name)
