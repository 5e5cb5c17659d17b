"""Reads a user's tables: .csv or .parquet, with a column of labels."""

import warnings
from collections.abc import Sequence
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from ..errors import DatasetError
from .features import encode_table
from .raw import Raw, Source, first_then_test
from .recipe import RECIPE, Recipe

_LABEL_NAMES = ("label", "target", "class", "y")
_MISSING = ("", "NA", "N/A", "NaN", "nan", "null", "NULL", "None", "<NA>")
"""What stands for a missing value in a .csv; for a label only "" does, since a class may be called NA."""
_ROW_NUMBERS = "Unnamed: 0"
"""What pandas calls a first column without a name: the row numbers that its own to_csv writes."""


def table_source(paths: Sequence[Path], recipe: Recipe) -> Source:
    """One table, or a train and a test table, in files of one kind."""
    name = paths[0].parent.name
    files = tuple(sorted(paths, key=lambda path: path.stem == "test"))
    return Source(name=name, files=(*files, *recipe.files), read=lambda: _read(files, recipe, dataset=name))


def _read(paths: Sequence[Path], recipe: Recipe, *, dataset: str) -> Raw:
    label = _label_column(_columns(paths[0], dataset=dataset), recipe, dataset=dataset)
    tables = [_table(path, label=label, dataset=dataset) for path in paths]
    for path, table in zip(paths, tables, strict=True):
        _check_columns(path, table, like=tables[0], dataset=dataset)
    rows = pd.concat(tables, ignore_index=True)
    unknown = [name for name in recipe.drop if name not in rows.columns or name == label]
    if unknown:
        raise DatasetError(
            f"{RECIPE} drops {', '.join(unknown)}. Expected columns among {_listed(rows.columns.drop(label))}.",
            dataset=dataset,
        )
    features = rows.drop(columns=[label, *recipe.drop])
    return Raw(
        kind="vector",
        labels_N=rows[label].to_numpy(),
        encode=lambda is_test_N: encode_table(features, ~is_test_N, dataset=dataset),
        is_test_N=first_then_test(len(tables[0]), len(tables[1])) if len(tables) == 2 else None,
        classes=recipe.classes,
        source=f"The user's own, from {' and '.join(path.name for path in paths)}; the label is {label!r}.",
    )


def _label_column(columns: Sequence[str], recipe: Recipe, *, dataset: str) -> str:
    if recipe.label is not None and recipe.label not in columns:
        raise DatasetError(
            f"{RECIPE} says label = {recipe.label!r}. Expected one of the columns {_listed(columns)}.",
            dataset=dataset,
        )
    likely = [name for name in columns if name.lower() in _LABEL_NAMES]
    if recipe.label is None and len(likely) != 1:
        raise DatasetError(
            f"its label column is {'not clear' if likely else 'not found'} among the columns"
            f" {_listed(columns)}. Expected one called {', '.join(_LABEL_NAMES)}, or a line such as label ="
            f" {columns[-1]!r} in {RECIPE}.",
            dataset=dataset,
        )
    return recipe.label or likely[0]


def _columns(path: Path, *, dataset: str) -> Sequence[str]:
    try:
        if path.suffix.lower() == ".parquet":
            return list(pq.read_schema(path).names)
        return pd.read_csv(path, nrows=0, encoding="utf-8-sig").columns.tolist()
    except (OSError, ValueError, pa.ArrowException) as error:
        raise _unreadable(path, error, dataset) from error


def _table(path: Path, *, label: str, dataset: str) -> pd.DataFrame:
    try:
        if path.suffix.lower() == ".parquet":
            table = pd.read_parquet(path)
            # Columns that were an index when the table was written are columns again.
            return table.reset_index() if any(table.index.names) else table
        return _csv(path, label=label, dataset=dataset)
    except (OSError, ValueError, pa.ArrowException, pd.errors.ParserWarning) as error:
        raise _unreadable(path, error, dataset) from error


def _csv(path: Path, *, label: str, dataset: str) -> pd.DataFrame:
    missing = {name: [""] if name == label else list(_MISSING) for name in _columns(path, dataset=dataset)}
    with warnings.catch_warnings():
        # A row with more cells than the header has names: pandas would only warn, and cut it.
        warnings.simplefilter("error", pd.errors.ParserWarning)
        table = pd.read_csv(
            path,
            encoding="utf-8-sig",
            index_col=False,
            dtype={label: str},  # "01" and "1" are two labels
            keep_default_na=False,
            na_values=missing,
            low_memory=False,
        )
    return table.drop(columns=[name for name in table.columns[:1] if name == _ROW_NUMBERS])


def _check_columns(path: Path, table: pd.DataFrame, *, like: pd.DataFrame, dataset: str) -> None:
    differing = sorted(set(map(str, table.columns)) ^ set(map(str, like.columns)))
    if differing:
        raise DatasetError(
            f"{path.name} and the other table differ in the columns {_listed(differing)}. Expected the same in both.",
            dataset=dataset,
        )
    if table.empty:
        raise DatasetError(f"{path.name} has no rows. Expected one a sample.", dataset=dataset)


def _unreadable(path: Path, error: Exception, dataset: str) -> DatasetError:
    return DatasetError(
        f"{path.name} cannot be read ({error}). Expected a table with one line of column names and a comma"
        " between cells, in UTF-8; or a Parquet file.",
        dataset=dataset,
    )


def _listed(columns: Sequence[str] | pd.Index) -> str:
    names = [str(name) for name in columns]
    return ", ".join(names[:20]) + (f" and {len(names) - 20} more" if len(names) > 20 else "")
