"""Data sets by name, and what a name may be."""

from pathlib import Path

import numpy as np
import pytest

from sweep.datasets import Datasets
from sweep.errors import DatasetError, UnknownDataset

BUILT_IN = ("toy2d", "digits", "fashion_mnist", "mnist", "cifar10", "cifar100", "shapes")


def write_npz(folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    np.savez(folder / "data.npz", x=np.arange(24.0).reshape(12, 2), y=np.tile(["a", "b"], 6))


def test_the_users_folders_are_named_after_the_built_in_sets(tmp_path: Path) -> None:
    for name in ("zebra", "ants", "MNIST", "cifar-10-batches-bin", ".hidden", "with space", "mnist"):
        write_npz(tmp_path / "datasets" / name)
    (tmp_path / "datasets" / "notes.txt").write_text("no folder")
    assert Datasets(tmp_path).names() == (*BUILT_IN, "ants", "zebra")


def test_a_data_folder_without_datasets_has_the_built_in_ones(tmp_path: Path) -> None:
    assert Datasets(tmp_path / "nowhere").names() == BUILT_IN


def test_the_listing_says_what_keeps_a_set_from_being_used(tmp_path: Path) -> None:
    write_npz(tmp_path / "datasets" / "mine")
    (tmp_path / "datasets" / "empty").mkdir()
    listed = {entry.name: entry for entry in Datasets(tmp_path).listing()}
    assert (listed["mine"].built_in, listed["mine"].problem) == (False, "")
    info = listed["mine"].info
    assert info is not None
    assert info.classes == ("a", "b")
    assert listed["empty"].info is None
    assert "its folder holds nothing" in listed["empty"].problem
    assert listed["cifar10"].built_in
    assert "data_batch_1.bin" in listed["cifar10"].problem


@pytest.mark.parametrize(
    "name",
    [
        "",
        "..",
        ".",
        "../other",
        "mine/..",
        "/etc",
        "mine\0",
        "mine\n",
        "http://x/y",
        "mine/data.npz",
        "a" * 65,
        "absent",
    ],
)
def test_names_that_are_none_are_unknown(tmp_path: Path, name: str) -> None:
    write_npz(tmp_path / "datasets" / "mine")
    write_npz(tmp_path / "other")
    with pytest.raises(UnknownDataset) as unknown:
        Datasets(tmp_path).info(name)
    assert "mine" in unknown.value.problem.expected


def test_a_link_that_leaves_the_folder_is_refused_and_listed_with_the_reason(tmp_path: Path) -> None:
    write_npz(tmp_path / "elsewhere")
    (tmp_path / "datasets").mkdir()
    (tmp_path / "datasets" / "linked").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(DatasetError, match="no link"):
        Datasets(tmp_path).info("linked")
    assert Datasets(tmp_path).names() == BUILT_IN


@pytest.mark.parametrize("name", ["My Data", "Ärger", "-dash"])
def test_a_folder_whose_name_cannot_be_asked_for_is_listed_with_the_rule(tmp_path: Path, name: str) -> None:
    write_npz(tmp_path / "datasets" / name)
    (listed,) = (one for one in Datasets(tmp_path).listing() if one.name == name)
    assert "a name of 1 to 64 letters" in listed.problem
    with pytest.raises(DatasetError, match="rename it"):
        Datasets(tmp_path).info(name)


def test_a_link_to_a_file_outside_is_refused(tmp_path: Path, own: Path) -> None:
    write_npz(tmp_path / "elsewhere")
    (own / "data.npz").symlink_to(tmp_path / "elsewhere" / "data.npz")
    with pytest.raises(DatasetError, match=r"data\.npz is a link"):
        Datasets(tmp_path).info("own")


def test_a_data_folder_may_be_given_relative(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_npz(tmp_path / "datasets" / "mine")
    absolute = Datasets(tmp_path).info("mine")
    monkeypatch.chdir(tmp_path)
    assert Datasets(Path(".")).info("mine") == absolute
