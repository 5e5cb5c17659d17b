"""What `dataset.toml` may say about a user's files."""

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from ..errors import DatasetError

RECIPE = "dataset.toml"
_LARGEST_SIZE = 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """How to read a data set where the files leave it open; its file is optional, and so is every key."""

    label: str | None = None
    """The column of a table that holds the labels."""
    drop: tuple[str, ...] = ()
    """Columns of a table that are left out."""
    classes: tuple[str, ...] | None = None
    """The classes in the order wanted, or their names where the labels are 0, 1, 2, …"""
    size: int | None = None
    """Height and width that images are brought to."""
    files: tuple[Path, ...] = ()
    """The recipe's own file, where there is one: its change makes the data set another."""


def read_recipe(folder: Path) -> Recipe:
    """The recipe in a data set's folder.

    Raises DatasetError where a key is unknown or its value is of the wrong kind.
    """
    path, name = folder / RECIPE, folder.name
    if not path.is_file():
        return Recipe()
    try:
        said = tomllib.loads(path.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise DatasetError(f"{RECIPE} is not valid TOML: {error}.", dataset=name) from error
    unknown = sorted(said.keys() - {"label", "drop", "classes", "size"})
    if unknown:
        raise DatasetError(
            f"{RECIPE} says {', '.join(unknown)}, which is not known. Expected label, drop, classes or size.",
            dataset=name,
        )
    return Recipe(
        label=_text(said, name),
        drop=_texts(said, "drop", dataset=name) or (),
        classes=_texts(said, "classes", dataset=name),
        size=_size(said, name),
        files=(path,),
    )


def _text(said: Mapping[str, object], dataset: str) -> str | None:
    label = said.get("label")
    if label is not None and not isinstance(label, str):
        raise DatasetError(f"{RECIPE} says label = {label!r}. Expected a column's name, in quotes.", dataset=dataset)
    return label


def _texts(said: Mapping[str, object], key: str, *, dataset: str) -> tuple[str, ...] | None:
    values = said.get(key)
    if values is None:
        return None
    if not isinstance(values, list) or not all(isinstance(value, str | int) for value in values):
        raise DatasetError(f'{RECIPE} says {key} = {values!r}. Expected a list, such as ["a", "b"].', dataset=dataset)
    return tuple(str(value) for value in values)


def _size(said: Mapping[str, object], dataset: str) -> int | None:
    size = said.get("size")
    if size is None:
        return None
    if not isinstance(size, int) or not 8 <= size <= _LARGEST_SIZE:
        raise DatasetError(
            f"{RECIPE} says size = {size!r}. Expected a whole number of pixels from 8 to {_LARGEST_SIZE}.",
            dataset=dataset,
        )
    return size
