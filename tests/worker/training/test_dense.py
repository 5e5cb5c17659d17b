"""Labels by pixel in training: what is ignored counts nowhere, and sets too large for the device stay mapped."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from sklearn.metrics import confusion_matrix

from loss import weighted
from worker.training import data as data_module
from worker.training import evaluation
from worker.training.cohort import Cohort
from worker.training.data import DeviceData
from worker.training.trainer import Training
from worker.training.trial import Member, TrialSpec

CPU = torch.device("cpu")
TRAIN, VALIDATION = np.arange(12), np.arange(12, 16)
Arrays = dict[str, NDArray[np.uint8]]


def drawn(count: int, *, seed: int, ignored: float = 0.3) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Images of 8 x 9 whose brightness tells the class of a pixel, most of them class 0; some have no label."""
    random = np.random.default_rng(seed)
    masks = random.choice(np.arange(3, dtype=np.uint8), (count, 8, 9), p=[0.8, 0.15, 0.05])
    images = 70 * masks[:, None] + random.integers(0, 60, (count, 3, 8, 9))
    masks[random.random(masks.shape) < ignored] = 255
    masks[0] = 255
    return images.astype(np.uint8), masks


def arrays() -> Arrays:
    train_inputs, train_labels = drawn(16, seed=1)
    test_inputs, test_labels = drawn(4, seed=2)
    return {
        "train_inputs": train_inputs, "train_labels": train_labels, "test_inputs": test_inputs,
        "test_labels": test_labels,
    }  # fmt: skip


@pytest.fixture
def dense() -> DeviceData:
    """Sixteen images of pool, four of test."""
    return DeviceData(**arrays(), classes=3, device=CPU)


@pytest.fixture
def spec(plain: TrialSpec) -> TrialSpec:
    """The adaptive loss on a small U-Net, flips and all."""
    return replace(
        plain, model="unet", model_params={"width": 2, "depth": 1}, loss="adaptive", loss_params={"alpha": 0.3},
        augment=True, batch_size=4, epochs=2,
    )  # fmt: skip


def test_classes_are_counted_by_pixel_and_what_is_ignored_is_not(dense: DeviceData) -> None:
    masks = arrays()["train_labels"]
    assert dense.train.is_dense
    assert dense.train.class_counts(torch.tensor([0])).tolist() == [0, 0, 0]
    for rows in ([3], [1, 0, 5]):
        expected = [int((masks[rows] == label).sum()) for label in range(3)]
        assert dense.train.class_counts(torch.tensor(rows)).tolist() == expected


def test_targets_of_ignored_pixels_are_those_that_losses_leave_out(dense: DeviceData) -> None:
    masks = arrays()["train_labels"][[2, 7]]
    target = dense.train.targets_of(torch.tensor([2, 7]))
    assert target.dtype == torch.int64
    np.testing.assert_array_equal(target.numpy(), np.where(masks == 255, -100, masks.astype(np.int64)))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"train_labels": np.full((16, 8, 9), 3, np.uint8)}, r"training labels in \[0, 3\), got 3 to 3"),
        ({"test_labels": np.zeros((4, 9, 8), np.uint8)}, r"one for each of the 4 inputs or of their pixels"),
        ({"train_labels": np.zeros((16, 8, 9), np.int64)}, "training labels by pixel as uint8, got int64"),
    ],
)
def test_masks_that_do_not_fit_are_refused(changes: Arrays, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        DeviceData(**{**arrays(), **changes}, classes=3, device=CPU)


@pytest.mark.parametrize("batch", [1, 3, 512])
def test_evaluation_leaves_out_what_is_ignored(
    batch: int, dense: DeviceData, spec: TrialSpec, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(evaluation, "_BATCHES", {"cpu": (batch, 2**21)})
    cohort = Cohort([Member(spec, 1, TRAIN, VALIDATION)], dense)
    counts = cohort.test([0])
    masks = arrays()["test_labels"]
    kept = masks != 255
    guessed = cohort.predict(0, dense.test.inputs).numpy()
    assert guessed.shape == masks.shape
    np.testing.assert_array_equal(
        counts.confusion_KCC[0].numpy(), confusion_matrix(masks[kept], guessed[kept], labels=range(3))
    )
    with torch.no_grad():
        log_p = cohort.model.eval()(dense.prepare(dense.test.inputs)[None])[0].double().log_softmax(1).numpy()
    row, height, width = np.nonzero(kept)
    assert counts.nll_K.item() == pytest.approx(-log_p[row, masks[kept], height, width].mean(), rel=1e-5)


def test_large_images_are_judged_a_few_at_a_time(
    dense: DeviceData, spec: TrialSpec, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(evaluation, "_BATCHES", {"cpu": (512, 2 * 8 * 9)})
    seen: list[int] = []

    def logits_of(rows: torch.Tensor) -> torch.Tensor:
        seen.append(rows.shape[1])
        return torch.zeros(*rows.shape, 3, 8, 9)

    evaluation.evaluate(
        logits_of,
        lambda rows: dense.train.targets_of(rows[0])[None],
        torch.arange(5)[None],
        members_and_classes=(1, 3),
        pixels=8 * 9,
        device=CPU,
    )
    assert seen == [2, 2, 1]


def course(data: DeviceData, spec: TrialSpec) -> list[tuple[object, ...]]:
    """What two epochs of a member give, to the last bit."""
    training = Training([Member(spec, 1, TRAIN, VALIDATION)], data)
    records = [record for _ in range(2) for record in training.run_epoch()]
    (tested,) = training.test([0])
    return [
        *(
            (
                r.train_loss,
                r.mean_weight,
                r.validation.nll,
                r.validation.confusion_CC.tolist(),
                r.importance_SC.tolist(),
            )
            for r in records
            if r.importance_SC is not None
        ),
        (tested.nll, tested.confusion_CC.tolist()),
    ]


def test_what_is_ignored_may_show_anything(spec: TrialSpec, dense: DeviceData) -> None:
    """Labels under ignored pixels do not exist; a class that is only there is never counted as absent or present."""
    rarest = arrays()
    for part in ("train_labels", "test_labels"):
        rarest[part] = np.where(rarest[part] == 2, np.uint8(255), rarest[part])
    record = Training([Member(spec, 1, TRAIN, VALIDATION)], DeviceData(**rarest, classes=3, device=CPU)).run_epoch()[0]
    assert record.importance_SC is not None
    assert (record.importance_SC[:, 2] == 1).all()
    assert record.validation.confusion_CC[2].sum() == 0
    assert (record.importance_SC[-1, :2] < 1).all()


def test_a_batch_without_any_label_changes_no_importance_and_breaks_nothing(spec: TrialSpec) -> None:
    empty = arrays()
    empty["train_labels"][:4] = 255
    data = DeviceData(**empty, classes=3, device=CPU)
    (record,) = Training([Member(spec, 1, np.arange(4, 8), VALIDATION)], data).run_epoch()
    assert record.failure is None
    lost = Cohort([Member(replace(spec, augment=False), 1, np.arange(4), VALIDATION)], data)
    trace = lost.train_epoch()
    assert trace.loss_SK.tolist() == [[0.0]]
    assert trace.importance_SAC is not None
    assert trace.importance_SAC.tolist() == [[[1.0, 1.0, 1.0]]]
    for trial in (spec, replace(spec, loss="cross_entropy", loss_params={})):
        (record,) = Training([Member(trial, 1, np.arange(4), VALIDATION)], data).run_epoch()
        assert (record.train_loss, record.mean_weight, record.failure) == (0.0, 1.0, None)


def test_a_set_too_large_for_the_device_stays_mapped_and_gives_the_same_numbers(
    spec: TrialSpec, dense: DeviceData, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, array in arrays().items():
        np.save(tmp_path / f"{name}.npy", array)
    mapped = {name: np.load(tmp_path / f"{name}.npy", mmap_mode="r") for name in arrays()}
    monkeypatch.setattr(data_module, "_SHARE_OF_MEMORY", 1e-12)
    large = DeviceData(**mapped, classes=3, device=CPU)
    assert large.train.inputs.data_ptr() == mapped["train_inputs"].ctypes.data  # no copy
    assert dense.train.inputs.data_ptr() != mapped["train_inputs"].ctypes.data
    assert course(large, spec) == course(dense, spec)
    assert large.train.class_counts(torch.arange(16)).tolist() == dense.train.class_counts(torch.arange(16)).tolist()


def test_alpha_zero_leaves_the_weights_of_cross_entropy_to_the_last_bit(spec: TrialSpec, dense: DeviceData) -> None:
    zero = replace(spec, loss_params={"alpha": 0.0}, optimizer="adamw", lr=0.01)
    plain = replace(zero, loss="cross_entropy", loss_params={})
    ours, theirs = (Cohort([Member(one, 1, TRAIN, VALIDATION)], dense) for one in (zero, plain))
    for _ in (1, 2):
        assert torch.equal(ours.train_epoch().loss_SK, theirs.train_epoch().loss_SK)
    for name, value in ours.model.state_dict().items():
        assert torch.equal(value, theirs.model.state_dict()[name]), name


def test_losses_that_weigh_by_class_get_the_pixels_of_the_members_own_images(
    spec: TrialSpec, dense: DeviceData
) -> None:
    member = Member(replace(spec, loss="weighted", loss_params={}, augment=False, batch_size=12), 1, TRAIN, VALIDATION)
    cohort = Cohort([member], dense)
    masks = arrays()["train_labels"][TRAIN]
    counts = torch.tensor([int((masks == label).sum()) for label in range(3)])
    logits = cohort.model.train()(dense.prepare(dense.train.inputs[TRAIN])[None])[0]
    expected = weighted(logits, dense.train.targets_of(torch.tensor(TRAIN)), class_counts=counts).detach()
    torch.testing.assert_close(cohort.train_epoch().loss_SK, expected[None, None])


def test_a_member_whose_validation_rows_have_no_label_says_so(spec: TrialSpec) -> None:
    empty = arrays()
    empty["train_labels"][VALIDATION] = 255
    (record,) = Training([Member(spec, 1, TRAIN, VALIDATION)], DeviceData(**empty, classes=3, device=CPU)).run_epoch()
    assert record.failure is not None
    assert "validation rows whose pixels are all ignored" in record.failure
