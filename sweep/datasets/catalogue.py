"""Data sets by name: which there are, what is to be known of one, and its arrays."""

import re
from dataclasses import dataclass
from pathlib import Path

from ..errors import DatasetError, UnknownDataset
from .builtin import BUILT_IN, RESERVED
from .dataset import Dataset, DatasetInfo
from .prepared import open_dataset, prepare, read_info
from .raw import Source
from .user import user_source

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}")


@dataclass(frozen=True, slots=True)
class Listed:
    """A data set as the catalogue shows it: its facts, or what keeps it from being used."""

    name: str
    built_in: bool
    info: DatasetInfo | None
    problem: str = ""


class Datasets:
    """The data sets of one data folder: built-in ones, and the user's own, a folder each in `datasets/`."""

    def __init__(self, data_dir: Path) -> None:
        """Reads nothing yet."""
        # Absolute, so that service and worker find each other's prepared forms wherever they were started.
        self._folder = data_dir.resolve() / "datasets"
        self._prepared = data_dir.resolve() / "prepared"

    def names(self) -> tuple[str, ...]:
        """Names that may be asked for: built in first, then the user's, sorted."""
        folders = self._folder.iterdir() if self._folder.is_dir() else ()
        own = sorted(folder.name for folder in folders if self._is_own(folder.name))
        return (*BUILT_IN, *own)

    def info(self, name: str) -> DatasetInfo:
        """The facts of a data set; a few milliseconds, unless it must be prepared first.

        Raises:
            UnknownDataset: if there is none of that name.
            DatasetError: if its files are missing or cannot be used.
        """
        return read_info(prepare(self._source(name), self._prepared))

    def load(self, name: str) -> Dataset:
        """A data set's arrays, memory-mapped; raises as `info` does."""
        return open_dataset(prepare(self._source(name), self._prepared))

    def listing(self) -> tuple[Listed, ...]:
        """Every data set with its facts, or the reason why it cannot be used; prepares what is not yet."""
        return tuple(self._listed(name) for name in self.names())

    def _source(self, name: str) -> Source:
        if name in BUILT_IN:
            return BUILT_IN[name](self._folder)
        if not self._is_own(name):
            raise UnknownDataset(name, self.names())
        return user_source(self._folder / name)

    def _is_own(self, name: str) -> bool:
        # The name is checked before it comes near a path; a link may not lead out of the folder either.
        if not _NAME.fullmatch(name) or name in BUILT_IN or name in RESERVED:
            return False
        folder = self._folder / name
        return folder.is_dir() and folder.resolve().parent == self._folder.resolve()

    def _listed(self, name: str) -> Listed:
        try:
            return Listed(name, built_in=name in BUILT_IN, info=self.info(name))
        except DatasetError as error:
            return Listed(name, built_in=name in BUILT_IN, info=None, problem=error.problem)
