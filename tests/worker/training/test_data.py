"""Data on the device: what is kept as it comes, what is normalised, what is refused."""

from pathlib import Path

import numpy as np
import pytest
import torch

from worker.training.batches import Batches, Replicate
from worker.training.data import DeviceData, Part
from worker.training.trial import Member, TrialSpec

CPU = torch.device("cpu")


def vectors(device: torch.device = CPU, **changes: np.ndarray) -> DeviceData:
    """Six vectors of two classes, with what a test wants to be otherwise."""
    arrays: dict[str, np.ndarray] = {
        "train_inputs": np.zeros((6, 2), np.float32),
        "train_labels": np.array([0, 0, 0, 1, 1, 0]),
        "test_inputs": np.zeros((2, 2), np.float32),
        "test_labels": np.array([0, 1]),
    }
    return DeviceData(**(arrays | changes), classes=2, device=device)


def test_images_stay_uint8_and_are_normalised_by_the_pool_by_batch(images: DeviceData) -> None:
    assert images.train.inputs.dtype == torch.uint8
    prepared = images.prepare(images.train.inputs)
    assert prepared.dtype == torch.float32
    assert prepared.is_contiguous(memory_format=torch.channels_last)
    torch.testing.assert_close(prepared.mean(dim=(0, 2, 3)), torch.zeros(3), atol=1e-5, rtol=0)
    torch.testing.assert_close(prepared.std(dim=(0, 2, 3), correction=0), torch.ones(3))


def test_test_images_are_normalised_by_the_pool_and_not_by_themselves(images: DeviceData) -> None:
    pool = images.train.inputs.double()
    expected = (images.test.inputs - pool.mean(dim=(0, 2, 3))[:, None, None]) / pool.std(dim=(0, 2, 3), correction=0)[
        :, None, None
    ]
    torch.testing.assert_close(images.prepare(images.test.inputs), expected.float())


def test_a_channel_of_one_level_becomes_zero() -> None:
    grey = np.full((4, 1, 8, 8), 9, np.uint8)
    labels = np.array([0, 1, 0, 1])
    data = vectors(train_inputs=grey, train_labels=labels, test_inputs=grey, test_labels=labels)
    assert data.prepare(data.train.inputs).eq(0).all()


def test_vectors_are_taken_as_they_are(blobs: DeviceData) -> None:
    assert blobs.prepare(blobs.train.inputs) is blobs.train.inputs


def test_class_counts_are_those_of_the_rows_asked_for() -> None:
    assert vectors().train.class_counts(torch.tensor([0, 1, 3])).tolist() == [2, 1]
    assert vectors().train.class_counts(torch.tensor([0, 1])).tolist() == [2, 0]


def test_dense_labels_are_counted_by_pixel() -> None:
    inputs = np.zeros((2, 3, 8, 8), np.uint8)
    masks = np.zeros((2, 8, 8), np.uint8)
    masks[0, 0] = 1
    data = vectors(train_inputs=inputs, train_labels=masks, test_inputs=inputs, test_labels=masks)
    assert data.train.class_counts(torch.tensor([0, 1])).tolist() == [120, 8]


def test_read_only_memory_maps_are_copied(tmp_path: Path) -> None:
    np.save(tmp_path / "inputs.npy", np.ones((6, 2), np.float32))
    data = vectors(train_inputs=np.load(tmp_path / "inputs.npy", mmap_mode="r"))
    assert data.train.inputs.eq(1).all()


def test_batches_of_data_that_stay_on_the_host_ask_the_device_for_nothing(
    plain: TrialSpec, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Part, "class_counts", lambda *_: torch.zeros(2))
    absent = torch.device("meta")  # which takes everything and can answer nothing
    data, member = vectors(absent), Member(plain, 1, np.arange(4), np.arange(4, 6))
    batches = Batches([Replicate(member, data)], data)
    assert data.home == CPU and data.device == absent
    for index_RB in [*batches.draw_order(2), batches.validation_index]:
        assert [one.shape[:2] for one in batches.of(index_RB, augment=True)] == [(1, 2)] * 2
        assert {one.device for one in batches.of(index_RB, augment=True)} == {absent}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"train_inputs": np.zeros((6, 2))}, "float32 vectors .* got float64"),
        ({"train_labels": np.array([0, 1])}, "one for each of the 6 inputs"),
        ({"train_labels": np.array([0, 1, 2, 0, 0, 0])}, r"in \[0, 2\), got 0 to 2"),
        ({"test_labels": np.array([-1, 1])}, r"test labels in \[0, 2\), got -1 to 1"),
        ({"test_inputs": np.zeros((2, 3), np.float32)}, r"float32 \(2,\), got float32 \(3,\)"),
        ({"test_inputs": np.zeros((0, 2), np.float32), "test_labels": np.zeros(0, np.int64)}, "test labels"),
    ],
)
def test_arrays_that_do_not_fit_are_refused(changes: dict[str, np.ndarray], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        vectors(**changes)


@pytest.mark.parametrize("dtype", [">i4", ">i8", "<u2", "|i1", "<u8"])
def test_labels_are_read_whatever_their_width_and_byte_order(dtype: str) -> None:
    data = vectors(train_labels=np.array([0, 0, 0, 1, 1, 0], dtype))
    assert data.train.targets_of(torch.tensor([2, 3])).tolist() == [0, 1]
