"""Data sets by name: which there are, what is to be known of one, and its arrays."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

from ..errors import DatasetError, UnknownDataset
from ..parameter import Parameter
from .builtin import BUILT_IN, MADE, OPTIONS, RESERVED
from .dataset import Dataset, DatasetInfo
from .prepared import Prepared
from .raw import Source
from .user import user_source

Options = Mapping[str, float | str]
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}")
_UNFIT_NAME = (
    "its folder cannot be used under this name. Expected a folder, no link, with a name of 1 to 64 letters from a to z,"
    " digits, and . _ - behind the first: rename it."
)


@dataclass(frozen=True, slots=True)
class Listed:
    """A data set as the catalogue shows it: its facts, or what keeps it from being used."""

    name: str
    built_in: bool
    info: DatasetInfo | None
    options: tuple[Parameter, ...] = ()
    """What one that is made to order takes beside its name."""
    problem: str = ""


class Datasets:
    """The data sets of one data folder: built-in ones, and the user's own, a folder each in `datasets/`."""

    def __init__(self, data_dir: Path) -> None:
        """Reads nothing yet."""
        # Absolute, so that service and worker find each other's prepared forms wherever they were started.
        self._folder = data_dir.resolve() / "datasets"
        self._prepared = Prepared(data_dir.resolve() / "prepared")

    def names(self) -> tuple[str, ...]:
        """Names that may be asked for: built in first, then the user's, sorted."""
        folders = self._folder.iterdir() if self._folder.is_dir() else ()
        own = sorted(folder.name for folder in folders if self._is_own(folder.name))
        return (*BUILT_IN, *MADE, *own)

    def info(self, name: str, *, options: Options = MappingProxyType({})) -> DatasetInfo:
        """The facts of a data set; a few milliseconds, unless it must be prepared first.

        One that is made to order shows what it is where all classes have as many.

        Raises:
            UnknownDataset: if there is none of that name.
            DatasetError: if its files are missing or cannot be used.
        """
        return self._prepared.info(self._source(name, options))

    def load(
        self, name: str, *, options: Options = MappingProxyType({}), counts: Sequence[int] | None = None
    ) -> Dataset:
        """A data set's arrays, memory-mapped, and verified to be what was prepared; raises as `info` does.

        `counts` are the training pool's by class, where a data set is made to order; others are as they are.
        """
        return self._prepared.load(self._source(name, options, counts))

    def listing(self) -> tuple[Listed, ...]:
        """Every data set with its facts, or the reason why it cannot be used; prepares what is not yet."""
        unfit = [Listed(name, built_in=False, info=None, problem=_UNFIT_NAME) for name in self._unfit()]
        return (*(self._listed(name) for name in self.names()), *unfit)

    def _source(
        self, name: str, options: Options = MappingProxyType({}), counts: Sequence[int] | None = None
    ) -> Source:
        if name in MADE:
            return MADE[name](options, counts)
        if name in BUILT_IN:
            return BUILT_IN[name](self._folder)
        if not self._is_own(name):
            if name in self._unfit():
                raise DatasetError(_UNFIT_NAME, dataset=name)
            raise UnknownDataset(name, self.names())
        return user_source(self._folder / name)

    def _is_own(self, name: str) -> bool:
        # The name is checked before it comes near a path; a link may not lead out of the folder either.
        if not _NAME.fullmatch(name) or self._is_built_in(name) or name in RESERVED:
            return False
        folder = self._folder / name
        return folder.is_dir() and folder.resolve().parent == self._folder.resolve()

    def _unfit(self) -> tuple[str, ...]:
        """Folders that are there under a name, or by a link, that cannot be used."""
        entries = self._folder.iterdir() if self._folder.is_dir() else ()
        folders = (entry.name for entry in entries if entry.is_dir() and not entry.name.startswith("."))
        known = (*BUILT_IN, *MADE, *RESERVED)
        return tuple(sorted(name for name in folders if name not in known and not self._is_own(name)))

    @staticmethod
    def _is_built_in(name: str) -> bool:
        return name in BUILT_IN or name in MADE

    def _listed(self, name: str) -> Listed:
        built_in, options = self._is_built_in(name), OPTIONS.get(name, ())
        try:
            return Listed(name, built_in=built_in, info=self.info(name), options=options)
        except DatasetError as error:
            return Listed(name, built_in=built_in, info=None, options=options, problem=error.problem)
