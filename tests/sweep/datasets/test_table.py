"""A user's tables."""

from collections.abc import Callable, Mapping, Sequence
from datetime import date
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from sweep.datasets import Dataset
from sweep.errors import DatasetError

Load = Callable[[str], Dataset]
Columns = Mapping[str, Sequence[object]]
LABEL: list[str] = ["a", "b"] * 10
NUMBER: list[float] = [float(n * n) for n in range(20)]
OTHER = "kind is missing or other"


def write(path: Path, columns: Columns) -> None:
    table = pd.DataFrame(columns)
    if path.suffix == ".csv":
        table.to_csv(path, index=False)
    else:
        table.to_parquet(path)


@pytest.mark.parametrize("ending", ["csv", "parquet"])
def test_columns_of_every_kind_are_encoded(own: Path, load: Load, ending: str) -> None:
    columns: Columns = {
        "Label": LABEL,
        "size": [None, *NUMBER[1:]],
        "on": [True, False] * 10,
        "colour": ["red", None, "green", "blue"] * 5,
        "same": [7] * 20,
    }
    write(own / f"train.{ending}", columns)
    write(own / f"test.{ending}", columns)
    dataset = load("own")
    info = dataset.info
    assert (info.kind, info.classes, info.pool_counts) == ("vector", ("a", "b"), (10, 10))
    assert info.columns == (
        "size",
        "size is missing",
        "on",
        "colour=blue",
        "colour=green",
        "colour=red",
        "colour is missing or other",
    )
    assert "Left out as constant: same." in info.source
    rows = dict(zip(info.columns, np.asarray(dataset.train_inputs).T, strict=True))
    filled = np.array([np.median(NUMBER[1:]), *NUMBER[1:]])
    np.testing.assert_allclose(rows["size"], (filled - filled.mean()) / filled.std(), rtol=1e-5)
    assert rows["size is missing"].tolist() == [1] + [0] * 19
    assert rows["on"].tolist() == [1, 0] * 10
    assert rows["colour=red"].tolist() == [1, 0, 0, 0] * 5
    assert rows["colour is missing or other"].tolist() == [0, 1, 0, 0] * 5
    np.testing.assert_array_equal(dataset.test_inputs, dataset.train_inputs)


def test_what_is_fitted_is_fitted_on_the_training_part(own: Path, load: Load) -> None:
    train: Columns = {"y": LABEL, "n": NUMBER, "k": ["p", "q"] * 10, "m": [None, "r", "r", "r"] * 5}
    test: Columns = {"y": ["a", "b"], "n": [1e6, None], "k": ["new", "q"], "m": ["r", "new"]}
    write(own / "train.csv", train)
    write(own / "test.csv", test)
    dataset = load("own")
    assert dataset.info.columns == ("n", "k=p", "k=q", "m=r", "m is missing or other")
    mean, deviation = np.mean(NUMBER), np.std(NUMBER)
    expected = [(1e6 - mean) / deviation, (np.median(NUMBER) - mean) / deviation]
    np.testing.assert_allclose(dataset.test_inputs[:, 0], expected, rtol=1e-5)
    assert dataset.test_inputs[:, 1:].tolist() == [[0, 0, 1, 0], [0, 1, 0, 1]]


def test_parquet_types_of_its_own_are_read(own: Path, load: Load) -> None:
    table = pd.DataFrame(
        {
            "target": pd.Categorical(LABEL),
            "whole": pd.array([1, None, 3, 4] * 5, dtype="Int64"),
            "flag": pd.array([True, None, False, False] * 5, dtype="boolean"),
            "kind": pd.Categorical(["p", "q", "q", None] * 5),
        }
    )
    table.sample(frac=1, random_state=0).to_parquet(own / "any name.parquet")
    info = load("own").info
    assert info.columns == ("whole", "whole is missing", "flag", "flag is missing", "kind=p", "kind=q", OTHER)
    assert info.classes == ("a", "b")


@pytest.mark.parametrize(
    ("labels", "classes"),
    [
        ([10, -5] * 10, ("-5", "10")),
        ([True, False] * 10, ("False", "True")),
        (["NA", "None"] * 10, ("NA", "None")),
        (["ja, gern", 'nein "nie"'] * 10, ("ja, gern", 'nein "nie"')),
    ],
)
def test_labels_of_any_type_name_classes(
    own: Path, load: Load, labels: Sequence[object], classes: tuple[str, ...]
) -> None:
    write(own / "d.csv", {"x": NUMBER, "CLASS": labels})
    assert load("own").info.classes == classes


def test_row_numbers_that_pandas_wrote_are_no_feature(own: Path, load: Load) -> None:
    pd.DataFrame({"x": NUMBER, "label": LABEL}).to_csv(own / "d.csv")
    assert load("own").info.columns == ("x",)


def test_the_recipe_names_the_label_and_what_to_drop(own: Path, load: Load) -> None:
    write(own / "d.csv", {"x": NUMBER, "label": NUMBER, "Art": LABEL, "id": range(20)})
    (own / "dataset.toml").write_text('label = "Art"\ndrop = ["id", "label"]\nclasses = ["b", "a"]')
    info = load("own").info
    assert (info.columns, info.classes) == (("x",), ("b", "a"))


@pytest.mark.parametrize(
    ("columns", "recipe", "problem"),
    [
        (
            {"x": NUMBER, "kind": LABEL},
            "",
            "label column is not found among the columns x, kind.*label = 'kind'",
        ),
        (
            {"x": NUMBER, "y": LABEL, "class": LABEL},
            "",
            "label column is not clear among the columns x, y, class",
        ),
        ({"x": NUMBER, "y": LABEL}, 'label = "z"', "says label = 'z'. Expected one of the columns x, y"),
        ({"x": NUMBER, "y": LABEL}, 'drop = ["z"]', "drops z. Expected columns among x"),
        ({"x": NUMBER, "y": [None, *LABEL[1:]]}, "", "1 labels are missing, in samples 1 "),
        ({"x": [np.inf, *NUMBER[1:]], "y": LABEL}, "", "the column 'x' has 1 infinite values"),
        ({"x": [3] * 20, "y": LABEL}, "", r"no feature is left \(constant: x\)"),
        ({"y": LABEL}, "", r"no feature is left \(constant: none\)"),
        ({"x": [], "y": []}, "", "has no rows"),
        (
            {"x": [f"text {n}" for n in range(400)], "y": LABEL * 20},
            "",
            r"the column 'x' has 320 different strings.*drop = \[\"x\"\]",
        ),
    ],
)
def test_unfit_tables_are_refused_with_a_remedy(
    own: Path, load: Load, columns: Columns, recipe: str, problem: str
) -> None:
    write(own / "d.csv", columns)
    (own / "dataset.toml").write_text(recipe)
    with pytest.raises(DatasetError, match=problem):
        load("own")


@pytest.mark.parametrize(
    "values",
    [
        pd.date_range("2020-01-01", periods=20),
        pd.Series([date(2020, 1, 1)] * 20),
        pd.Series([[1, 2]] * 20),
        pd.timedelta_range("1h", periods=20),
    ],
)
def test_columns_that_are_no_numbers_or_categories_are_refused(
    own: Path, load: Load, values: pd.Series | pd.DatetimeIndex | pd.TimedeltaIndex
) -> None:
    pd.DataFrame({"when": values, "label": LABEL}).to_parquet(own / "d.parquet")
    with pytest.raises(DatasetError, match=r"the column 'when' holds values of the type .*drop = \[\"when\"\]"):
        load("own")


def test_tables_with_other_columns_than_each_other_are_refused(own: Path, load: Load) -> None:
    write(own / "train.csv", {"x": NUMBER, "y": LABEL})
    write(own / "test.csv", {"x": NUMBER, "z": NUMBER, "y": LABEL})
    with pytest.raises(DatasetError, match="differ in the columns z"):
        load("own")


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("d.csv", b""),
        ("d.csv", b"x,label\n1,a\n2,b,c\n"),
        ("d.csv", b"x,label\n\xff\xfe,a\n"),
        ("d.parquet", b"no parquet"),
    ],
)
def test_files_that_are_no_tables_are_refused_by_name(own: Path, load: Load, name: str, content: bytes) -> None:
    (own / name).write_bytes(content)
    with pytest.raises(DatasetError, match=f"{name} cannot be read"):
        load("own")
