"""The kept form: whole or absent, mapped, and made anew when files change."""

import json
import os
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest

from sweep.datasets import Datasets
from sweep.errors import DatasetError

PARTS, ARRAYS = ("train", "test"), ("inputs", "labels")


def write(own: Path) -> None:
    np.savez(own / "data.npz", x=np.arange(40.0).reshape(20, 2) ** 2, y=np.tile([3, 8], 10))


def places(tmp_path: Path) -> list[str]:
    return sorted(entry.name for entry in (tmp_path / "prepared").iterdir())


def test_arrays_are_mapped_and_read_only(tmp_path: Path, own: Path) -> None:
    write(own)
    dataset = Datasets(tmp_path).load("own")
    for array in (dataset.train_inputs, dataset.train_labels, dataset.test_inputs, dataset.test_labels):
        assert isinstance(array, np.memmap)
        assert not array.flags.writeable


def test_a_set_is_read_once(tmp_path: Path, own: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(own)
    first = Datasets(tmp_path).info("own")
    monkeypatch.setattr("sweep.datasets.npz._read", lambda *_, **__: pytest.fail("read again"))
    assert Datasets(tmp_path).info("own") == first
    assert places(tmp_path) == [f"own-{first.fingerprint}"]


def test_changed_files_are_prepared_anew_and_have_other_content(tmp_path: Path, own: Path) -> None:
    write(own)
    datasets = Datasets(tmp_path)
    first = datasets.info("own")
    np.savez(own / "data.npz", x=np.arange(40.0).reshape(20, 2), y=np.tile([3, 8], 10))
    changed = datasets.info("own")
    assert changed.fingerprint != first.fingerprint
    assert changed.content != first.content


def test_content_does_not_depend_on_the_files_times_or_place(tmp_path: Path, own: Path) -> None:
    write(own)
    datasets = Datasets(tmp_path)
    first = datasets.info("own")
    os.utime(own / "data.npz", (1, 1))
    touched = datasets.info("own")
    assert touched.fingerprint != first.fingerprint
    assert touched.content == first.content


def test_content_changes_with_the_names_of_the_classes(tmp_path: Path, own: Path) -> None:
    write(own)
    first = Datasets(tmp_path).info("own")
    (own / "dataset.toml").write_text("classes = [8, 3]")
    assert Datasets(tmp_path).info("own").content != first.content


def test_several_at_once_prepare_one_whole_folder(tmp_path: Path, own: Path) -> None:
    write(own)
    with ThreadPoolExecutor(8) as pool:
        infos = list(pool.map(lambda _: Datasets(tmp_path).info("own"), range(8)))
    assert len({info.content for info in infos}) == 1
    assert places(tmp_path) == [f"own-{infos[0].fingerprint}"]


def test_what_fails_leaves_nothing_behind(tmp_path: Path, own: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(own)

    def full(*_: object, **__: object) -> None:
        raise OSError("no space left")

    with monkeypatch.context() as patched:
        patched.setattr(np, "save", full)
        with pytest.raises(OSError, match="no space left"):
            Datasets(tmp_path).info("own")
    assert places(tmp_path) == []
    assert Datasets(tmp_path).info("own").classes == ("3", "8")


def test_a_fifth_is_set_aside_where_no_test_part_comes_with_the_files(tmp_path: Path, own: Path) -> None:
    write(own)
    info = Datasets(tmp_path).info("own")
    assert (info.pool_counts, info.test_counts) == ((8, 8), (2, 2))
    assert "20% of each class" in info.source


@pytest.mark.parametrize(
    ("train", "test", "problem"),
    [
        (["a", "a", "b", "b"], ["a", "c"], r"too few samples for training in 'c' \(0\). Expected at least 2"),
        (["a", "a", "b", "b"], ["a"], r"too few samples for testing in 'b' \(0\). Expected at least 1"),
        (["a", "a", "b"], ["a", "b"], r"too few samples for training in 'b' \(1\)"),
        (
            ["a", "a", "a", "b", "b", "c"],
            None,
            r"too few samples in all in 'b' \(2\), 'c' \(1\). Expected at least 3",
        ),
    ],
)
def test_classes_with_too_few_samples_are_named(
    tmp_path: Path, own: Path, train: list[str], test: list[str] | None, problem: str
) -> None:
    arrays = {"x": np.arange(2.0 * len(train)).reshape(-1, 2), "y": np.array(train)}
    if test is not None:
        arrays |= {"x_test": np.arange(2.0 * len(test)).reshape(-1, 2), "y_test": np.array(test)}
    np.savez(own / "data.npz", allow_pickle=False, **arrays)
    with pytest.raises(DatasetError, match=problem):
        Datasets(tmp_path).info("own")


def damage(file: Path, how: str) -> None:
    content = bytearray(file.read_bytes())
    match how:
        case "missing":
            return file.unlink()
        case "truncated":
            del content[-9:]
        case "flipped":
            content[len(content) // 3] ^= 1
    file.write_bytes(content)


def contents(place: Path) -> dict[str, bytes]:
    return {file.name: file.read_bytes() for file in place.iterdir()}


@pytest.mark.parametrize("how", ["missing", "truncated", "flipped"])
@pytest.mark.parametrize("name", ["info.json", *(f"{part}_{what}.npy" for part in PARTS for what in ARRAYS)])
def test_what_is_damaged_is_logged_and_restored(
    tmp_path: Path, own: Path, name: str, how: str, caplog: pytest.LogCaptureFixture
) -> None:
    write(own)
    whole, (place,) = Datasets(tmp_path).load("own"), (tmp_path / "prepared").iterdir()
    before, expected = contents(place), np.array(whole.test_inputs)
    damage(place / name, how)
    found = Datasets(tmp_path).load("own")
    np.testing.assert_array_equal(found.test_inputs, expected)
    assert (found.info, contents(place)) == (whole.info, before)
    (record,) = caplog.records
    assert vars(record).items() >= {"dataset": "own", "place": place.name, "damaged": [name]}.items()


def test_damage_is_found_by_a_process_that_has_opened_it_before(tmp_path: Path) -> None:
    datasets = Datasets(tmp_path)
    expected = np.array(datasets.load("toy2d").test_inputs)
    (damaged,) = (tmp_path / "prepared").glob("toy2d-*/test_inputs.npy")
    damage(damaged, "flipped")
    np.testing.assert_array_equal(datasets.load("toy2d").test_inputs, expected)


def test_what_is_whole_is_verified_once_a_process(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    datasets = Datasets(tmp_path)
    datasets.load("toy2d")
    monkeypatch.setattr("hashlib.file_digest", lambda *_: pytest.fail("read again"))
    datasets.load("toy2d")


def test_facts_without_checksums_are_written_anew(tmp_path: Path) -> None:
    whole, (place,) = Datasets(tmp_path).info("toy2d"), (tmp_path / "prepared").iterdir()
    before = contents(place)
    (place / "info.json").write_text(json.dumps(asdict(whole)))
    assert Datasets(tmp_path).info("toy2d") == whole
    assert contents(place) == before


def test_several_at_once_restore_it_while_others_read(tmp_path: Path, own: Path) -> None:
    write(own)
    Datasets(tmp_path).info("own")
    (place,) = (tmp_path / "prepared").iterdir()
    before = contents(place)
    for name in before:
        damage(place / name, "truncated")
    with ThreadPoolExecutor(8) as pool:
        for found in pool.map(lambda _: Datasets(tmp_path).load("own"), range(16)):
            assert (found.test_labels.tolist(), len(found.train_inputs)) == ([0, 1, 0, 1], 16)
    assert (contents(place), places(tmp_path)) == (before, [place.name])


@pytest.mark.parametrize(
    ("labels", "problem"),
    [([8, 3], "its prepared form was damaged, and its files no longer hold"), ([3, 3], "Expected at least 2")],
)
def test_what_cannot_be_restored_is_refused(tmp_path: Path, own: Path, labels: list[int], problem: str) -> None:
    write(own)
    Datasets(tmp_path).info("own")
    (array,) = (tmp_path / "prepared").glob("own-*/train_labels.npy")
    damage(array, "flipped")
    before = (own / "data.npz").stat()
    np.savez(own / "data.npz", x=np.arange(40.0).reshape(20, 2) ** 2, y=np.tile(labels, 10))
    os.utime(own / "data.npz", ns=(before.st_atime_ns, before.st_mtime_ns))  # a disk that rots tells no time
    with pytest.raises(DatasetError, match=problem):
        Datasets(tmp_path).load("own")
