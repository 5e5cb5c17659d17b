"""The kept form: whole or absent, mapped, and made anew when files change."""

import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from sweep.datasets import Datasets
from sweep.errors import DatasetError


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


def test_a_damaged_prepared_form_is_named_with_the_remedy(tmp_path: Path) -> None:
    datasets = Datasets(tmp_path)
    datasets.load("toy2d")
    (damaged,) = (tmp_path / "prepared").glob("toy2d-*/train_inputs.npy")
    damaged.write_bytes(b"")
    with pytest.raises(DatasetError, match=r"damaged .* Delete prepared/toy2d-"):
        datasets.load("toy2d")
