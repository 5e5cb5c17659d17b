"""Members that learn as one equal the same members alone, to what rounding in float64 leaves."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
import torch

from worker.training.batches import Replicate
from worker.training.data import DeviceData
from worker.training.record import EpochRecord
from worker.training.trainer import Training
from worker.training.trial import Member, TrialSpec

CPU = torch.device("cpu")
LOSSES = [
    ("cross_entropy", {"label_smoothing": 0.1}),
    ("focal", {"gamma": 1.5}),
    ("adaptive", {"alpha": 0.3}),
    ("adaptive", {"alpha": 0.03, "label_smoothing": 0.2}),
    ("weighted", {"reduction": "weighted_mean"}),
    ("balanced_softmax", {}),
]


@pytest.fixture(scope="module")
def masks() -> DeviceData:
    """Images of 9 by 10 with three labels by pixel, some ignored: 24 of pool, 8 of test."""
    random = np.random.default_rng(3)

    def part(count: int) -> tuple[np.ndarray, np.ndarray]:
        labels = random.choice([0, 1, 2, 255], size=(count, 9, 10), p=[0.6, 0.2, 0.1, 0.1]).astype(np.uint8)
        images = random.integers(0, 100, (count, 3, 9, 10)) + 50 * (labels[:, None] % 4)
        return images.astype(np.uint8), labels

    (train, train_labels), (test, test_labels) = part(24), part(8)
    return DeviceData(
        train_inputs=train,
        train_labels=train_labels,
        test_inputs=test,
        test_labels=test_labels,
        classes=3,
        device=CPU,
    )


def members(spec: TrialSpec, *, pool: int) -> list[Member]:
    """Six losses at rates, decays and momenta of their own, over two replicates, one of them twice."""
    train, held = np.arange(0, pool - 8), np.arange(pool - 8, pool)
    found = []
    for at, (loss, params) in enumerate(LOSSES):
        trial = replace(
            spec, loss=loss, loss_params=params, lr=0.01 * (at + 1), weight_decay=0.001 * at, momentum=0.5 + 0.05 * at
        )
        found += [Member(trial, seed, train, held) for seed in ((4, 9) if at % 2 else (9, 4))]
    return found


def course(members: Sequence[Member], data: DeviceData) -> tuple[list[list[EpochRecord]], list[np.ndarray]]:
    """The records of every epoch, and the confusions on the test set."""
    training = Training(members, data)
    epochs = []
    while training.live:
        epochs.append(training.run_epoch())
    return epochs, [found.confusion_CC for found in training.test(range(len(members)))]


def assert_equal(one: EpochRecord, other: EpochRecord, *, within: float) -> None:
    for name in ("lr", "train_loss", "mean_weight"):
        assert getattr(one, name) == pytest.approx(getattr(other, name), rel=within, abs=within), name
    assert one.validation.nll == pytest.approx(other.validation.nll, rel=within, abs=within)
    np.testing.assert_array_equal(one.validation.confusion_CC, other.validation.confusion_CC)
    assert (one.importance_SC is None) == (other.importance_SC is None)
    if one.importance_SC is not None and other.importance_SC is not None:
        np.testing.assert_allclose(one.importance_SC, other.importance_SC, rtol=0, atol=1e-6)  # records are float32


@pytest.mark.parametrize("optimizer", ["sgd", "adamw"])
@pytest.mark.parametrize("model", ["linear", "mlp", "dropout", "small_cnn", "resnet32", "unet"])
def test_a_member_among_others_equals_the_same_alone(
    model: str, optimizer: str, plain: TrialSpec, images: DeviceData, masks: DeviceData
) -> None:
    data, pool = (masks, 24) if model == "unet" else (images, 40)
    params = {"unet": {"width": 4, "depth": 2}, "dropout": {"dropout": 0.4}}.get(model, {})
    spec = replace(
        plain, model=model.replace("dropout", "mlp"), optimizer=optimizer, nesterov=optimizer == "sgd", epochs=2,
        batch_size=16, augment=True, schedule="cosine", precision="float64", model_params=params,
    )  # fmt: skip
    many = members(spec, pool=pool)
    epochs, tests = course(many, data)
    assert [record.member for record in epochs[0]] == list(range(len(many)))
    for position, member in enumerate(many):
        alone, (test,) = course([member], data)
        for together, (lone,) in zip(epochs, alone, strict=True):
            assert_equal(together[position], lone, within=1e-9)
        np.testing.assert_array_equal(tests[position], test)


def test_those_that_stay_go_on_as_if_the_others_had_never_been(plain: TrialSpec, images: DeviceData) -> None:
    spec = replace(plain, model="small_cnn", optimizer="adamw", epochs=4, batch_size=8, precision="float64")
    many = members(spec, pool=40)
    training = Training(many, images)
    training.run_epoch()
    training.drop([0, 3, 4, 11])
    training.run_epoch()
    training.drop([1, 2])
    seen = [training.run_epoch() for _ in range(2)]
    assert [record.member for record in seen[0]] == [5, 6, 7, 8, 9, 10]
    for record in seen[-1]:
        alone, (test,) = course([many[record.member]], images)
        assert_equal(record, alone[-1][0], within=1e-9)
        np.testing.assert_array_equal(training.test([record.member])[0].confusion_CC, test)


@pytest.mark.parametrize("model", ["mlp", "small_cnn", "resnet18"])
def test_members_go_on_elsewhere_from_their_states(model: str, plain: TrialSpec, images: DeviceData) -> None:
    params = {"dropout": 0.3} if model == "mlp" else {}
    # Each resnet18 has eleven million weights and twice as many moments, in float64.
    count, epochs = (2, 2) if model == "resnet18" else (4, 3)
    spec = replace(plain, model=model, model_params=params, optimizer="adamw", epochs=epochs, batch_size=16,
                   augment=True, schedule="cosine", precision="float64")  # fmt: skip
    many = members(spec, pool=40)[1 : 1 + count]
    expected, tests = course(many, images)
    first = Training(many, images)
    first.run_epoch()
    second = Training([], images, width=2)
    assert list(second.join(many, first.states(range(count)))) == list(range(count))
    for epoch in expected[1:]:
        for one, other in zip(second.run_epoch(), epoch, strict=True):
            assert_equal(one, other, within=1e-9)
    for found, confusion in zip(second.test(range(count)), tests, strict=True):
        np.testing.assert_array_equal(found.confusion_CC, confusion)


def test_a_member_predicts_what_it_predicts_alone(plain: TrialSpec, images: DeviceData, masks: DeviceData) -> None:
    for data, pool, model in ((images, 40, "small_cnn"), (masks, 24, "unet")):
        many = members(replace(plain, model=model, epochs=1, batch_size=8, precision="float64"), pool=pool)
        together = Training(many, data)
        together.run_epoch()
        inputs = data.test.inputs.numpy()
        for position in (0, 7):
            alone = Training([many[position]], data)
            alone.run_epoch()
            np.testing.assert_array_equal(together.predict(position, inputs), alone.predict(0, inputs))


def test_a_member_that_diverges_leaves_the_others_as_they_were(plain: TrialSpec, blobs: DeviceData) -> None:
    spec = replace(plain, model="mlp", epochs=3, precision="float64")
    index = np.arange(100), np.arange(100, 150)
    calm, wild = Member(spec, 1, *index), Member(replace(spec, lr=1e30), 2, *index)
    training = Training([calm, wild], blobs)
    failures = [record.failure for record in training.run_epoch()]
    assert failures[0] is None and failures[1] is not None
    last = [training.run_epoch() for _ in range(2)][-1]
    (lone,) = course([calm], blobs)[0][-1]
    assert_equal(last[0], lone, within=1e-9)


def test_numbers_in_single_precision_do_not_depend_on_the_company(plain: TrialSpec, blobs: DeviceData) -> None:
    index = np.arange(100), np.arange(100, 150)
    spec = replace(plain, model="mlp", optimizer="adamw", loss="adaptive", schedule="cosine", batch_size=32, lr=0.01)
    many = [
        Member(replace(spec, loss_params={"alpha": 0.1 * at}, lr=0.001 * (at + 1)), at % 3, *index) for at in range(9)
    ]
    together = course(many, blobs)[0][-1]
    for position in (0, 4, 8):
        for company in ([position], [position, 1, 2, 3]):
            found = course([many[at] for at in company], blobs)[0][-1][0]
            assert found.train_loss == together[position].train_loss
            assert found.validation.nll == together[position].validation.nll
            assert found.importance_SC is not None
            np.testing.assert_array_equal(found.importance_SC, together[position].importance_SC)


@pytest.mark.parametrize("optimizer", ["sgd", "adamw"])
def test_those_that_join_learn_as_if_they_had_begun_alone(optimizer: str, plain: TrialSpec, images: DeviceData) -> None:
    spec = replace(
        plain, model="small_cnn", optimizer=optimizer, epochs=3, batch_size=8, augment=True, schedule="cosine",
        precision="float64",
    )  # fmt: skip
    many = members(spec, pool=40)
    training = Training(many[:5], images, width=6)
    training.run_epoch()
    training.drop([1])
    assert list(training.join(many[5:8])) == [5, 6, 7]
    assert sorted(len(group.positions) for group in training._groups) == [1, 6]
    found: dict[int, list[EpochRecord]] = {position: [] for position in range(8)}
    while training.live:
        for record in training.run_epoch():
            found[record.member].append(record)
    tests = training.test([0, 6, 7])
    for position, test in zip([0, 6, 7], tests, strict=True):
        alone, (lone,) = course([many[position]], images)
        expected = [records[0] for records in alone][-len(found[position]) :]
        assert [record.epoch for record in found[position]] == [record.epoch for record in expected]
        for one, other in zip(found[position], expected, strict=True):
            assert_equal(one, other, within=1e-9)
        np.testing.assert_array_equal(test.confusion_CC, lone)


def test_those_of_one_seed_see_the_same_batches_if_they_are_as_far(
    plain: TrialSpec, blobs: DeviceData, monkeypatch: pytest.MonkeyPatch
) -> None:
    index = np.arange(100), np.arange(100, 150)
    many = [Member(replace(plain, lr=0.01 * at), at % 2, *index) for at in range(8)]
    drawn: list[int] = []
    draw = Replicate.draw_order
    monkeypatch.setattr(Replicate, "draw_order", lambda self, size: (drawn.append(self.epochs), draw(self, size))[1])
    training = Training(many[:3], blobs)
    training.join(many[3:4])
    training.run_epoch()
    training.join(many[4:6])
    training.join(many[6:8])
    training.run_epoch()
    assert drawn == [0, 0, 1, 1, 0, 0]
    elsewhere = Training(many[:4], blobs)
    elsewhere.join(many[:4], training.states(range(4)))
    assert [len(group.cohort._batches.validation_index) for group in elsewhere._groups] == [2, 2]


@pytest.mark.parametrize("width", [0, -1])
def test_a_width_of_nobody_is_refused(width: int, plain: TrialSpec, images: DeviceData) -> None:
    with pytest.raises(ValueError, match=f"Expected a width of at least 1, got {width}"):
        Training(members(plain, pool=40), images, width=width)


def test_members_are_stacked_by_what_they_share_and_up_to_the_width(plain: TrialSpec, images: DeviceData) -> None:
    index = np.arange(32), np.arange(32, 40)
    specs = [replace(plain, model=model) for model in ("mlp", "small_cnn", "mlp", "resnet18", "mlp", "resnet18")]
    specs.append(replace(plain, model="mlp", batch_size=8))
    training = Training([Member(spec, at, *index) for at, spec in enumerate(specs)], images, width=2)
    assert [group.positions for group in training._groups] == [[0, 2], [4], [1], [3], [5], [6]]


def test_members_that_cannot_be_stacked_learn_side_by_side(plain: TrialSpec, images: DeviceData) -> None:
    spec = replace(plain, model="resnet18", epochs=1, batch_size=16)
    index = np.arange(32), np.arange(32, 40)
    both = [Member(spec, seed, *index) for seed in (1, 2)]
    (records,) = course(both, images)[0]
    for member, record in zip(both, records, strict=True):
        assert_equal(record, course([member], images)[0][0][0], within=1e-6)
