"""Which form a user's folder has, and what its recipe may say."""

from collections.abc import Callable
from pathlib import Path

import pytest

from sweep.datasets import Dataset
from sweep.datasets.recipe import Recipe, read_recipe
from sweep.errors import DatasetError

Load = Callable[[str], Dataset]


@pytest.mark.parametrize(
    ("files", "found"),
    [
        ([], "nothing"),
        (["dataset.toml", ".DS_Store"], "nothing"),
        (["a.npz", "b.npz"], r"a\.npz, b\.npz"),
        (["a.npz", "b.csv"], r"a\.npz, b\.csv"),
        (["a.csv", "b.csv"], r"a\.csv, b\.csv"),
        (["train.csv", "test.parquet"], r"test\.parquet, train\.csv"),
        (["a.xlsx"], r"a\.xlsx"),
        (["train.csv", "cats/1.png"], r"cats, train\.csv"),
        ([f"{n:02}.csv" for n in range(12)], r"00\.csv, .*09\.csv and more"),
    ],
)
def test_a_folder_that_is_not_exactly_one_data_set_is_refused(
    own: Path, load: Load, files: list[str], found: str
) -> None:
    for name in files:
        (own / name).parent.mkdir(exist_ok=True)
        (own / name).touch()
    with pytest.raises(DatasetError, match=rf"its folder holds {found}\. Expected one \.npz; or one table"):
        load("own")


def test_a_recipe_is_optional_and_so_is_every_key(own: Path) -> None:
    assert read_recipe(own) == Recipe()
    (own / "dataset.toml").write_text('label = "kind"\ndrop = ["a"]\nclasses = ["b", 3]\nsize = 32')
    assert read_recipe(own) == Recipe(
        label="kind", drop=("a",), classes=("b", "3"), size=32, files=(own / "dataset.toml",)
    )


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("label = ", "not valid TOML"),
        (
            'lable = "x"\ntest = 1',
            "says lable, test, which is not known. Expected label, drop, classes or size",
        ),
        ("label = 3", "label = 3. Expected a column's name"),
        ('drop = "x"', "drop = 'x'. Expected a list"),
        ("classes = [1.5]", r"classes = \[1.5\]. Expected a list"),
        ("size = 4", "size = 4. Expected a whole number of pixels from 8 to 1024"),
        ("size = 64.0", "size = 64.0. Expected"),
        ("size = true", "size = True. Expected"),
    ],
)
def test_a_recipe_that_says_something_else_is_refused(own: Path, text: str, problem: str) -> None:
    (own / "dataset.toml").write_text(text)
    with pytest.raises(DatasetError, match=problem):
        read_recipe(own)
