"""The kept form of a data set: checked once, written as arrays, memory-mapped ever after.

`prepared/NAME-FINGERPRINT/` in the data folder holds the arrays as .npy files and info.json, which has the facts and
the SHA-256 of all of it. Such a folder appears whole or not at all; other files, or a newer reader, have another
fingerprint. It never changes but where it is damaged: then its files are replaced, one by one, by what they were.
"""

import hashlib
import logging
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from pydantic import TypeAdapter

from ..errors import DatasetError
from .content import content_hash
from .dataset import Dataset, DatasetInfo
from .dense import write_dense
from .labels import check_counts, encode_labels, set_aside
from .raw import DenseRaw, Raw, Source

_READER_VERSION = 3
"""Raised whenever readers, encodings or info.json change, so that what was written before is prepared anew."""
_INFO = "info.json"
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Kept:
    """What info.json holds."""

    info: DatasetInfo
    info_sha256: str
    sha256: Mapping[str, str]
    """Of each array's file, by its name."""


_INFO_TYPE = TypeAdapter(DatasetInfo)
_KEPT_TYPE = TypeAdapter(_Kept)


def fingerprint(source: Source) -> str:
    """16 hexadecimal digits over the files' paths, sizes and times; reads no file."""
    key = f"{_READER_VERSION} {source.name} {source.variant}{_stamp(source.files)}"
    return hashlib.sha256(key.encode()).hexdigest()[:16]


class Prepared:
    """The prepared forms in one folder: made where there are none yet, and anew where they are damaged."""

    def __init__(self, folder: Path) -> None:
        """Reads nothing yet."""
        self._folder = folder
        self._verified: set[str] = set()

    def info(self, source: Source) -> DatasetInfo:
        """The facts of a data set. Raises DatasetError where it must be prepared and its files cannot be used."""
        return _kept(source, self._place(source)).info

    def load(self, source: Source) -> Dataset:
        """The arrays of a data set, memory-mapped; raises as `info` does, and where what is damaged cannot be restored.

        All are read to verify them, once a process, and again where a file's size or time has changed.
        """
        place = self._place(source)
        kept = _kept(source, place)
        if _stamp(place.iterdir()) not in self._verified:
            _verify(source, place, kept)
            self._verified.add(_stamp(place.iterdir()))
        arrays = {Path(name).stem: np.load(place / name, mmap_mode="r", allow_pickle=False) for name in kept.sha256}
        return Dataset(info=kept.info, **arrays)

    def _place(self, source: Source) -> Path:
        return self._folder / f"{source.name}-{fingerprint(source)}"


def _stamp(files: Iterable[Path]) -> str:
    stats = ((path, path.stat()) for path in files)
    return "".join(f"\0{path}\0{stat.st_size}\0{stat.st_mtime_ns}" for path, stat in stats)


def _kept(source: Source, place: Path) -> _Kept:
    if not place.is_dir():
        return _write(source, place)
    try:
        kept = _KEPT_TYPE.validate_json((place / _INFO).read_bytes())
        if _info_sha256(kept.info) == kept.info_sha256:
            return kept
    except (OSError, ValueError):
        pass
    return _restored(source, place, damaged=[_INFO])


def _verify(source: Source, place: Path, kept: _Kept) -> None:
    damaged = [name for name, sha256 in kept.sha256.items() if not _is_sound(place / name, sha256)]
    if damaged and _restored(source, place, damaged=damaged).info.content != kept.info.content:
        raise DatasetError(
            "its prepared form was damaged, and its files no longer hold what it was made of. Put them back, or"
            " submit the sweep anew.",
            dataset=source.name,
        )


def _restored(source: Source, place: Path, *, damaged: Sequence[str]) -> _Kept:
    facts = {"action": "prepared_anew", "dataset": source.name, "place": place.name, "damaged": damaged}
    _log.warning("damaged prepared data set", extra=facts)
    return _write(source, place)


def _info_sha256(info: DatasetInfo) -> str:
    return hashlib.sha256(_INFO_TYPE.dump_json(info)).hexdigest()


def _is_sound(path: Path, sha256: str) -> bool:
    try:
        return _file_sha256(path) == sha256
    except OSError:
        return False


def _file_sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _write(source: Source, place: Path) -> _Kept:
    place.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=place.parent, prefix=".unfinished-") as unfinished:
        written = Path(unfinished, source.name)
        written.mkdir()
        key = place.name.removeprefix(f"{source.name}-")
        info = _prepared(source, written, key=key)
        sha256 = {file.name: _file_sha256(file) for file in written.glob("*.npy")}
        kept = _Kept(info=info, info_sha256=_info_sha256(info), sha256=sha256)
        (written / _INFO).write_bytes(_KEPT_TYPE.dump_json(kept))
        if fingerprint(source) != key:
            raise DatasetError("its files changed while they were read. Try again.", dataset=source.name)
        _publish(written, place)
    return kept


def _prepared(source: Source, folder: Path, *, key: str) -> DatasetInfo:
    try:
        raw = source.read()
        if isinstance(raw, DenseRaw):
            return write_dense(raw, folder, source=source, fingerprint=key)
        info, arrays = _checked(raw, source, key=key)
    except DatasetError:
        raise
    except Exception as error:  # files may be wrong in ways that nobody thought of, and are the user's to mend
        raise DatasetError(f"it cannot be read ({type(error).__name__}: {error}).", dataset=source.name) from error
    for array_name, array in arrays.items():
        np.save(folder / f"{array_name}.npy", array, allow_pickle=False)
    return info


def _checked(raw: Raw, source: Source, *, key: str) -> tuple[DatasetInfo, Mapping[str, NDArray[np.generic]]]:
    labels_N, classes = encode_labels(raw.labels_N, classes=raw.classes, dataset=source.name)
    is_test_N = _test_part(raw, labels_N, classes=classes, dataset=source.name)
    encoded = raw.encode(is_test_N)
    notes = () if raw.is_test_N is not None else (_set_aside_note(raw),)
    train_labels, test_labels = labels_N[~is_test_N], labels_N[is_test_N]
    arrays: dict[str, NDArray[np.generic]] = {
        "train_inputs": encoded.inputs[~is_test_N],
        "train_labels": train_labels,
        "test_inputs": encoded.inputs[is_test_N],
        "test_labels": test_labels,
    }
    info = DatasetInfo(
        name=source.name,
        kind=raw.kind,
        classes=classes,
        shape=encoded.inputs.shape[1:],
        pool_counts=_counts(train_labels, classes),
        test_counts=_counts(test_labels, classes),
        source=" ".join((raw.source, *notes, *encoded.notes)),
        fingerprint=key,
        content=content_hash(arrays.values(), classes),
        columns=encoded.columns,
    )
    return info, arrays


def _test_part(raw: Raw, labels_N: NDArray[np.int64], *, classes: tuple[str, ...], dataset: str) -> NDArray[np.bool_]:
    if raw.is_test_N is None:
        check_counts(_counts(labels_N, classes), needed=3, names=classes, where="in all", dataset=dataset)
        return set_aside(labels_N, classes=len(classes), fraction=raw.test_fraction)
    for where, labels, needed in (
        ("for training", labels_N[~raw.is_test_N], 2),
        ("for testing", labels_N[raw.is_test_N], 1),
    ):
        check_counts(_counts(labels, classes), needed=needed, names=classes, where=where, dataset=dataset)
    return raw.is_test_N


def _set_aside_note(raw: Raw) -> str:
    return f"No test part comes with it: {raw.test_fraction:.0%} of each class, always the same, is set aside."


def _counts(labels_N: NDArray[np.int64], classes: tuple[str, ...]) -> tuple[int, ...]:
    return tuple(np.bincount(labels_N, minlength=len(classes)).tolist())


def _publish(written: Path, place: Path) -> None:
    try:
        written.replace(place)
    except OSError:
        if not place.is_dir():
            raise
        # There is one: damaged, or whole and the same, by a quicker process. Nobody may find a file missing.
        for file in written.iterdir():
            file.replace(place / file.name)
