"""Records of attempts that MLflow does not have yet, on disk: what a worker's death or leave does not cost again."""

import json
import logging
import shutil
import zipfile
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import astuple
from pathlib import Path
from typing import IO

from sweep.errors import NotFound, Untold
from sweep.store import Store
from sweep.tracking import Point

from .journal import Journal, Record
from .whole import whole

_RECORD, _FILES = "record.json", "files/"
_log = logging.getLogger(__name__)


class Spool:
    """A folder a sweep and in it one file an attempt, in which workers of one data folder find what others have left.

    Whoever holds a slot may read what earlier attempts at it left: they have ended. Nothing here is the truth: what is
    missing is trained again.
    """

    def __init__(self, data_dir: Path) -> None:
        """The folder is made with the first file."""
        self._folder = data_dir / "spool"

    def keep(self, journal: Journal, record: Record) -> None:
        """Writes the record, whole and flushed to disk or not at all. Raises OSError."""
        with whole(self._path(journal)) as file:
            _write(record, file)

    def read(self, journal: Journal) -> Record:
        """The attempt's own record. Raises Untold where somebody removed or spoiled it."""
        try:
            return _read(self._path(journal))
        except Exception as error:
            raise Untold(f"The record of trial {journal.claim.number} is gone from the spool: {error}") from error

    def recall(self, journal: Journal) -> Record | None:
        """The record that an earlier attempt left of just this training; None where there is none."""
        for path in self._left(journal):
            try:
                record = _read(path)
            except Exception:  # gone, damaged (zipfile has many words for that), or of another version
                _log.warning("record left", exc_info=True, extra={"action": "record_left", "file": path.name})
                continue
            if list(record.trial) == list(journal.trial):
                return record
        return None

    def forget(self, journal: Journal) -> None:
        """Removes whatever is kept of the slot: MLflow has it."""
        for path in self._left(journal):
            with suppress(OSError):
                path.unlink()

    def clear(self, store: Store) -> None:
        """Removes what is left of sweeps that have ended: somebody else trained it again."""
        for folder in self._folder.glob("*"):
            try:
                has_ended = store.get(folder.name).ended_at is not None
            except NotFound:
                has_ended = True
            if has_ended:
                shutil.rmtree(folder, ignore_errors=True)

    def _left(self, journal: Journal) -> Iterator[Path]:
        return (self._folder / journal.claim.sweep).glob(f"{journal.claim.number}-*.zip")

    def _path(self, journal: Journal) -> Path:
        return self._folder / journal.claim.sweep / f"{journal.claim.number}-{journal.attempt}.zip"


def _write(record: Record, file: IO[bytes]) -> None:
    kept = {
        "trial": list(record.trial),
        "params": {name: str(value) for name, value in record.params.items()},
        "points": [astuple(point) for point in record.points],
        "outcome": record.outcome,
        "reason": record.reason,
        "value": record.value,
        "replicates": list(record.replicates),
    }
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr(_RECORD, json.dumps(kept))
        for name, content in record.files.items():
            archive.writestr(_FILES + name, content)


def _read(path: Path) -> Record:
    with zipfile.ZipFile(path) as archive:
        kept = json.loads(archive.read(_RECORD))
        names = [name for name in archive.namelist() if name.startswith(_FILES)]
        files = {name.removeprefix(_FILES): archive.read(name) for name in names}
    return Record(**kept | {"points": [Point(*point) for point in kept["points"]], "files": files})
