"""Training as its caller sees it: records, repeatability, neighbours, failures."""

from dataclasses import asdict, replace

import numpy as np
import pytest
import torch
from sklearn.metrics import confusion_matrix

from worker.training.cohort import Cohort
from worker.training.data import DeviceData, Part
from worker.training.evaluation import Counts
from worker.training.record import EpochRecord
from worker.training.trainer import Training
from worker.training.trial import Member, Optimizer, TrialSpec


def member(spec: TrialSpec, *, seed: int = 1, count: int = 100) -> Member:
    """A member of the first `count` rows of the pool, validated on twenty others."""
    return Member(spec, seed, np.arange(count), np.arange(count, count + 20))


def run(training: Training) -> list[EpochRecord]:
    """Every record until no member is live."""
    records: list[EpochRecord] = []
    while training.live:
        records += training.run_epoch()
    return records


def numbers(records: list[EpochRecord], *, of: int) -> list[dict[str, object]]:
    """What one member's records say, but for its position and the time that it took."""
    kept = [asdict(record) for record in records if record.member == of]
    return [{key: value for key, value in one.items() if key not in {"member", "seconds"}} for one in kept]


def assert_same(first: list[dict[str, object]], second: list[dict[str, object]]) -> None:
    """Asserts that two members' numbers are equal bit for bit."""
    np.testing.assert_equal(first, second)


@pytest.fixture
def adaptive(plain: TrialSpec) -> TrialSpec:
    """A small network under the adaptive loss, with everything that moves switched on."""
    return replace(
        plain,
        loss="adaptive",
        loss_params={"alpha": 0.1},
        model="mlp",
        model_params={"width": 8},
        nesterov=True,
        weight_decay=1e-3,
        schedule="cosine",
        warmup_epochs=1,
    )


def test_a_record_says_what_the_epoch_was(adaptive: TrialSpec, blobs: DeviceData) -> None:
    training = Training([member(adaptive)], blobs)
    records = run(training)
    assert [(r.member, r.epoch, r.steps, r.samples) for r in records] == [(0, at, 7, 100) for at in (1, 2, 3)]
    assert records[0].lr == pytest.approx(0.1)
    assert records[2].importance_SC is not None
    assert records[2].importance_SC.shape == (7, 3)
    assert records[2].importance_SC.dtype == np.float32
    assert records[2].validation.confusion_CC.dtype == np.int64
    assert records[2].validation.confusion_CC.sum() == 20
    assert all(record.failure is None and record.seconds > 0 for record in records)


def test_training_learns(adaptive: TrialSpec, blobs: DeviceData) -> None:
    training = Training([member(replace(adaptive, epochs=20))], blobs)
    first, *_, last = run(training)
    assert last.validation.nll < first.validation.nll
    (evaluation,) = training.test([0])
    assert evaluation.confusion_CC.trace() > 0.6 * 60


def test_losses_without_importance_weigh_every_sample_by_one(plain: TrialSpec, blobs: DeviceData) -> None:
    for record in run(Training([member(plain)], blobs)):
        assert (record.mean_weight, record.importance_SC) == (1.0, None)


def test_the_same_trial_and_seed_give_the_same_numbers(adaptive: TrialSpec, blobs: DeviceData) -> None:
    alone = numbers(run(Training([member(adaptive)], blobs)), of=0)
    torch.rand(5)
    again = numbers(run(Training([member(adaptive)], blobs)), of=0)
    other = numbers(run(Training([member(adaptive, seed=2)], blobs)), of=0)
    assert_same(alone, again)
    assert alone[0]["train_loss"] != other[0]["train_loss"]


def test_neighbours_change_nothing(adaptive: TrialSpec, plain: TrialSpec, blobs: DeviceData) -> None:
    alone = numbers(run(Training([member(adaptive)], blobs)), of=0)
    neighbours = [member(plain, seed=5), member(adaptive), member(replace(adaptive, epochs=1), seed=3)]
    assert_same(alone, numbers(run(Training(neighbours, blobs)), of=1))


def test_global_generators_and_threads_are_left_alone(adaptive: TrialSpec, images: DeviceData) -> None:
    before = torch.get_rng_state(), np.random.get_state(legacy=False), torch.get_num_threads()
    run(Training([member(replace(adaptive, model="small_cnn", augment=True), count=20)], images))
    after = torch.get_rng_state(), np.random.get_state(legacy=False), torch.get_num_threads()
    assert torch.equal(before[0], after[0])
    np.testing.assert_equal(before[1:], after[1:])


def test_alpha_zero_is_cross_entropy_to_the_last_bit(adaptive: TrialSpec, blobs: DeviceData) -> None:
    zero = replace(adaptive, loss_params={"alpha": 0.0}, batch_size=17)
    reference = replace(zero, loss="cross_entropy", loss_params={})
    training = Training([member(zero), member(reference)], blobs)
    records = run(training)
    assert all((r.importance_SC == 1).all() for r in records if r.importance_SC is not None)
    first, second = ([one | {"importance_SC": None} for one in numbers(records, of=at)] for at in (0, 1))
    assert_same(first, second)
    ours, theirs = training.test([0, 1])
    assert ours.nll == theirs.nll


def test_the_odd_sample_is_left_out_where_it_would_be_a_batch_of_one(plain: TrialSpec, images: DeviceData) -> None:
    spec = replace(plain, model="small_cnn", epochs=1)
    (record,) = Training([Member(spec, 1, np.arange(33), np.arange(33, 40))], images).run_epoch()
    assert (record.steps, record.samples) == (2, 32)
    (lonely,) = Training([Member(plain, 1, np.arange(1), np.arange(5))], images).run_epoch()
    assert (lonely.steps, lonely.samples) == (1, 1)


def test_members_end_after_their_own_epochs(plain: TrialSpec, blobs: DeviceData) -> None:
    training = Training([member(plain), member(replace(plain, epochs=1))], blobs)
    assert list(training.live) == [0, 1]
    training.run_epoch()
    assert list(training.live) == [0]
    assert [record.member for record in training.run_epoch()] == [0]
    assert len(training.test([1, 0])) == 2


def test_nobody_is_tested_but_who_is_asked_for(
    plain: TrialSpec, blobs: DeviceData, monkeypatch: pytest.MonkeyPatch
) -> None:
    spec = replace(plain, precision="float64", epochs=2)
    training = Training([member(spec, seed=at) for at in range(4)], blobs)
    training.run_epoch()
    training.join([member(spec, seed=4), member(spec, seed=5), member(spec, count=80)])
    training.run_epoch()
    assert training.live == (4, 5, 6)
    whole = training.test(range(7))
    tested: list[int] = []
    evaluate = Cohort._evaluate

    def counted(self: Cohort, part: Part, index_RN: torch.Tensor) -> Counts:
        tested.append(len(self.members))
        return evaluate(self, part, index_RN)

    monkeypatch.setattr(Cohort, "_evaluate", counted)
    for asked, stacks in (([0, 1, 2, 3], [4]), ([3], [1]), ([6, 4, 0], [2, 1]), ([5, 0, 3, 5], [3]), ([], [])):
        tested.clear()
        for found, expected in zip(training.test(asked), [whole[position] for position in asked], strict=True):
            assert found is not None and expected is not None
            np.testing.assert_array_equal(found.confusion_CC, expected.confusion_CC)
            assert found.nll == pytest.approx(expected.nll, rel=1e-9)
        assert sorted(tested, reverse=True) == stacks
    assert [record.member for record in training.run_epoch()] == [4, 5, 6]


def test_nothing_happens_where_no_member_is_live(plain: TrialSpec, blobs: DeviceData) -> None:
    training = Training([], blobs)
    assert training.run_epoch() == []
    assert training.test([]) == []


def test_dropped_members_train_no_more_and_the_others_go_on(plain: TrialSpec, blobs: DeviceData) -> None:
    alone = numbers(run(Training([member(plain, seed=2)], blobs)), of=0)
    training = Training([member(plain), member(plain, seed=2)], blobs)
    records = training.run_epoch()
    training.drop([0])
    assert list(training.live) == [1]
    # Together sums are taken in another order, so single precision agrees to about six digits.
    for one, other in zip(alone, numbers(records + run(training), of=1), strict=True):
        assert other["train_loss"] == pytest.approx(one["train_loss"], rel=1e-5)
    points = blobs.test.inputs.numpy()
    for ask in (lambda: training.drop([0]), lambda: training.test([0]), lambda: training.predict(0, points)):
        with pytest.raises(ValueError, match=r"a member still held \(1\), got 0"):
            ask()


def test_a_member_that_diverges_is_dropped_with_its_reason_alone(plain: TrialSpec, blobs: DeviceData) -> None:
    alone = numbers(run(Training([member(plain)], blobs)), of=0)
    wild = replace(plain, lr=1e30, loss="adaptive", loss_params={"alpha": 0.5}, model="mlp")
    training = Training([member(wild), member(plain)], blobs)
    records = run(training)
    failures = [record for record in records if record.member == 0]
    assert [record.epoch for record in failures] == [1]
    assert failures[0].failure is not None
    assert "at step " in failures[0].failure
    assert "loss adaptive, alpha 0.5, lr 1e+30" in failures[0].failure
    assert_same(alone, numbers(records, of=1))


def test_weights_broken_by_the_last_step_fail_too(plain: TrialSpec, blobs: DeviceData) -> None:
    spec = replace(plain, lr=1e39, batch_size=100)
    (record,) = Training([member(spec)], blobs).run_epoch()
    assert np.isfinite(record.train_loss)
    assert record.failure is not None
    assert "The validation loss became " in record.failure


def test_predictions_are_those_that_the_test_counts(plain: TrialSpec, blobs: DeviceData) -> None:
    training = Training([member(plain)], blobs)
    run(training)
    predicted = training.predict(0, blobs.test.inputs.numpy())
    (evaluation,) = training.test([0])
    assert predicted.dtype == np.int64
    np.testing.assert_array_equal(
        evaluation.confusion_CC, confusion_matrix(blobs.test.targets_of(torch.arange(60)), predicted, labels=range(3))
    )


@pytest.mark.parametrize("model", ["small_cnn", "resnet32"])
@pytest.mark.parametrize("optimizer", ["sgd", "adamw"])
def test_image_models_train_with_augmentation(
    model: str, optimizer: Optimizer, plain: TrialSpec, images: DeviceData
) -> None:
    spec = replace(plain, model=model, optimizer=optimizer, lr=0.01, augment=True, epochs=2)
    first, second, bare = (
        numbers(run(Training([member(one, count=20)], images)), of=0)
        for one in (spec, spec, replace(spec, augment=False))
    )
    assert_same(first, second)
    assert first[0]["train_loss"] != bare[0]["train_loss"]


def test_bfloat16_stays_near_float32(adaptive: TrialSpec, blobs: DeviceData) -> None:
    full = run(Training([member(adaptive)], blobs))[-1]
    half = run(Training([member(replace(adaptive, precision="bfloat16"))], blobs))[-1]
    assert half.validation.nll == pytest.approx(full.validation.nll, rel=0.05)
    assert half.validation.nll != full.validation.nll
