"""The shelf: one data set on the device, read once, and none but the one that the sweep was submitted over."""

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from sweep.choices import DatasetChoice
from sweep.datasets import Dataset, Datasets
from sweep.errors import DatasetError, UnknownDataset
from sweep.measured import measured
from sweep.plan import replicate_seeds
from sweep.problems import parse_sweep
from sweep.resolve import resolve
from sweep.split import split_images
from sweep.store import DatasetMark, Store, Sweep
from worker.shelf import Shelf
from worker.training.data import DeviceData


def write(folder: Path, seed: int) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    labels = np.arange(60) % 2
    points = np.random.default_rng(seed).normal(labels[:, None], 0.3, (60, 3))
    np.savez(folder / "data.npz", x=points, y=np.array(["off", "on"])[labels])


@pytest.fixture
def datasets(tmp_path: Path) -> Datasets:
    write(tmp_path / "datasets" / "one", 1)
    write(tmp_path / "datasets" / "two", 2)
    return Datasets(tmp_path)


@pytest.fixture
def over(submit: Callable[..., Sweep], datasets: Datasets) -> Callable[[str], Sweep]:
    """A sweep over one of these data sets as it is now."""

    def make(name: str) -> Sweep:
        sweep, info = submit(alpha=0.1), datasets.info(name)
        spec = sweep.spec.model_copy(update={"dataset": DatasetChoice(name=name)})
        return replace(sweep, spec=spec, dataset=DatasetMark(classes=info.classes, content=info.content))

    return make


@pytest.fixture
def shelf(datasets: Datasets) -> Shelf:
    return Shelf(datasets, torch.device("cpu"))


def fetch(shelf: Shelf, sweep: Sweep) -> tuple[DeviceData, Dataset]:
    return shelf.fetch(sweep, sweep.scenarios[0])


def test_a_data_set_is_put_on_the_device_once(shelf: Shelf, over: Callable[[str], Sweep]) -> None:
    data, dataset = fetch(shelf, over("one"))
    again, _ = fetch(shelf, over("one"))
    assert again is data
    assert (data.classes, data.input_shape, len(data.train), len(data.test)) == (2, (3,), 48, 12)
    assert data.train.targets_of(torch.arange(48)).tolist() == dataset.train_labels.tolist()
    np.testing.assert_array_equal(data.test.inputs.numpy(), dataset.test_inputs)


def test_another_data_set_takes_its_place(shelf: Shelf, over: Callable[[str], Sweep], datasets: Datasets) -> None:
    one, _ = fetch(shelf, over("one"))
    two, _ = fetch(shelf, over("two"))
    np.testing.assert_array_equal(two.train.inputs.numpy(), datasets.load("two").train_inputs)
    assert not torch.equal(one.train.inputs, two.train.inputs)
    assert fetch(shelf, over("one"))[0] is not one


def test_files_that_changed_since_the_submission_are_refused(
    shelf: Shelf, over: Callable[[str], Sweep], tmp_path: Path
) -> None:
    sweep = over("one")
    write(tmp_path / "datasets" / "one", 9)
    with pytest.raises(DatasetError, match=r"'one': its files have changed since the sweep was submitted\. Put them"):
        fetch(shelf, sweep)
    data, _ = fetch(shelf, over("one"))  # a new sweep over the new files
    with pytest.raises(DatasetError):
        fetch(shelf, sweep)
    assert fetch(shelf, over("one"))[0] is data


def test_a_prepared_form_that_was_damaged_is_restored_before_it_is_used(
    shelf: Shelf, over: Callable[[str], Sweep], tmp_path: Path
) -> None:
    sweep = over("one")
    (array,) = (tmp_path / "prepared").glob("one-*/test_inputs.npy")
    whole = array.read_bytes()
    array.write_bytes(whole[:-64] + bytes(byte ^ 0x2A for byte in whole[-64:]))
    data, _ = fetch(shelf, sweep)
    assert array.read_bytes() == whole
    np.testing.assert_array_equal(data.test.inputs.numpy(), np.load(array))


def test_files_that_are_gone_are_named(shelf: Shelf, over: Callable[[str], Sweep], tmp_path: Path) -> None:
    sweep = over("one")
    shutil.rmtree(tmp_path / "datasets" / "one")
    with pytest.raises(UnknownDataset, match="'one'"):
        fetch(shelf, sweep)


def test_made_to_order_the_data_are_those_that_were_measured_when_the_sweep_was_accepted(
    shelf: Shelf, datasets: Datasets, store: Store
) -> None:
    body = {
        "dataset": {"name": "shapes", "size": 24, "images": 60, "classes": 2},
        "imbalance": {"profile": "exponential", "ratios": [4]},
        "alpha": 0.1,
    }
    spec = parse_sweep(json.dumps(body))
    info = datasets.info("shapes", options=spec.dataset.params)
    accepted = measured(resolve(spec, info), info, datasets)
    assert accepted.scenarios[0].counts != accepted.scenarios[0].drawn  # a holdout and chance lie between
    sweep = store.add(accepted, DatasetMark(classes=info.classes, content=info.content))
    data, dataset = fetch(shelf, sweep)
    assert dataset.image_counts is not None
    counts = []
    for seed in replicate_seeds(sweep.spec):
        train = split_images(dataset.image_counts, fraction=sweep.spec.validation.fraction, seed=seed).train
        counts.append(data.train.class_counts(torch.tensor(train)).double())
    assert tuple(torch.stack(counts).mean(dim=0).round().long().tolist()) == sweep.scenarios[0].counts
