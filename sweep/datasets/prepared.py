"""The kept form of a data set: checked once, written as arrays, memory-mapped ever after.

`prepared/NAME-FINGERPRINT/` in the data folder holds the arrays as .npy files and info.json. Such a folder appears
whole or not at all, and never changes: other files, or a newer reader, have another fingerprint.
"""

import hashlib
import json
import tempfile
from collections.abc import Mapping
from dataclasses import asdict
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

_READER_VERSION = 2
"""Raised whenever readers or encodings change, so that what they wrote before is prepared anew."""
_INFO = "info.json"
_INFO_TYPE = TypeAdapter(DatasetInfo)


def fingerprint(source: Source) -> str:
    """16 hexadecimal digits over the files' paths, sizes and times; reads no file."""
    digest = hashlib.sha256(f"{_READER_VERSION} {source.name} {source.variant}".encode())
    for path in source.files:
        stat = path.stat()
        digest.update(f"\0{path}\0{stat.st_size}\0{stat.st_mtime_ns}".encode())
    return digest.hexdigest()[:16]


def prepare(source: Source, folder: Path) -> Path:
    """The place of the prepared form under `folder`; reads and checks the data set where there is none yet.

    Raises DatasetError where the files cannot be used.
    """
    key = fingerprint(source)
    place = folder / f"{source.name}-{key}"
    if place.is_dir():
        return place
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder, prefix=".unfinished-") as unfinished:
        written = Path(unfinished, source.name)
        written.mkdir()
        info = _prepared(source, written, key=key)
        (written / _INFO).write_text(json.dumps(asdict(info), ensure_ascii=False), encoding="utf-8")
        if fingerprint(source) != key:
            raise DatasetError("its files changed while they were read. Try again.", dataset=source.name)
        _publish(written, place)
    return place


def read_info(place: Path) -> DatasetInfo:
    """The facts kept in a prepared folder."""
    return _INFO_TYPE.validate_json((place / _INFO).read_bytes())


def open_dataset(place: Path) -> Dataset:
    """The arrays of a prepared folder, memory-mapped."""
    try:
        arrays = {file.stem: np.load(file, mmap_mode="r", allow_pickle=False) for file in place.glob("*.npy")}
    except (OSError, ValueError, EOFError) as error:
        raise DatasetError(
            f"its prepared form is damaged ({error}). Delete prepared/{place.name}.", dataset=place.name
        ) from error
    return Dataset(info=read_info(place), **arrays)


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
        # Another process was faster: a folder that is there is whole, and holds the same.
        if not place.is_dir():
            raise
