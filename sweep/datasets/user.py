"""The user's own data set: a folder in exactly one of the forms that can be read."""

from pathlib import Path

from ..errors import DatasetError
from .folder import folder_source
from .masks import CLASSES, FOLDERS, masks_source
from .npz import npz_source
from .raw import Source
from .recipe import RECIPE, read_recipe
from .table import table_source

_TABLES = (".csv", ".parquet")


def user_source(folder: Path) -> Source:
    """The data set in `folder`, which is named after the folder.

    Raises DatasetError, naming what was found, where that is not exactly one data set.
    """
    name = folder.name
    recipe = read_recipe(folder)
    found = sorted(entry for entry in folder.iterdir() if not _is_aside(entry))
    stray = [entry.name for entry in found if entry.is_symlink() and not _stays_within(entry, folder)]
    if stray:
        raise DatasetError(f"{stray[0]} is a link out of its folder. Expected the files themselves.", dataset=name)
    if {entry.name for entry in found if entry.name != CLASSES} == FOLDERS:
        return masks_source(folder, recipe)
    if found and all(entry.is_dir() for entry in found):
        return folder_source(folder, found, recipe)
    endings = {entry.suffix.lower() for entry in found}
    if len(found) == 1 and endings == {".npz"}:
        return npz_source(found[0], recipe)
    parts = sorted(entry.stem for entry in found)
    if len(endings) == 1 and endings <= set(_TABLES) and (len(found) == 1 or parts == ["test", "train"]):
        return table_source(found, recipe)
    names = [entry.name for entry in found]
    raise DatasetError(
        f"its folder holds {', '.join(names[:10]) or 'nothing'}{' and more' if len(names) > 10 else ''}."
        " Expected one .npz; or one table, .csv or .parquet; or tables called train and test; or one folder"
        f" of images a class; or images and masks. Beside that only {RECIPE}.",
        dataset=name,
    )


def _is_aside(entry: Path) -> bool:
    """What people and their systems leave beside data."""
    return entry.name == RECIPE or entry.name.startswith(".") or entry.suffix.lower() == ".md"


def _stays_within(entry: Path, folder: Path) -> bool:
    return entry.resolve().is_relative_to(folder.resolve())
