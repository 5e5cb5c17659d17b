"""Where memory runs out: cohorts go on in halves, and one member that has too little even alone is let go."""

import gc
import weakref
from collections.abc import Callable, Iterator
from dataclasses import replace

import numpy as np
import pytest
import torch

from worker.training import record as record_module
from worker.training.cohort import Cohort
from worker.training.data import DeviceData
from worker.training.trace import State
from worker.training.trainer import Training
from worker.training.trial import Member, TrialSpec

from .test_cohort import assert_equal, course, members


def short_of_memory(method: str, monkeypatch: pytest.MonkeyPatch, *, when: Callable[[Cohort, int], bool]) -> None:
    """Lets a cohort's method find too little memory, by the cohort and the number of the call."""
    before, calls = getattr(Cohort, method), 0

    def short(self: Cohort, *args: object) -> object:
        nonlocal calls
        calls += 1
        if when(self, calls):
            raise torch.OutOfMemoryError("CUDA out of memory.")
        return before(self, *args)

    monkeypatch.setattr(Cohort, method, short)


@pytest.mark.parametrize("model", ["mlp", "small_cnn"])
@pytest.mark.parametrize("method", ["_step", "state", "validate"])
def test_a_cohort_without_memory_goes_on_in_halves_and_loses_nothing(
    method: str, model: str, plain: TrialSpec, images: DeviceData, monkeypatch: pytest.MonkeyPatch
) -> None:
    params = {"dropout": 0.3} if model == "mlp" else {}
    spec = replace(
        plain, model=model, model_params=params, optimizer="adamw", epochs=3, batch_size=8, augment=True,
        precision="float64",
    )  # fmt: skip
    many = members(spec, pool=40)[:7]
    expected, tests = course(many, images)
    first = 6 if method == "_step" else 1  # in the midst of the second epoch
    short_of_memory(method, monkeypatch, when=lambda cohort, calls: calls > first and len(cohort.members) > 2)
    training = Training(many, images)
    found = [training.run_epoch() for _ in range(3)]
    assert sorted(len(group.positions) for group in training._groups) == [1, 2, 2, 2]
    assert training.width == 2
    for one, other in zip(found, expected, strict=True):
        for ours, theirs in zip(one, other, strict=True):
            assert (ours.member, ours.epoch) == (theirs.member, theirs.epoch)
            assert_equal(ours, theirs, within=1e-9)
    for test, confusion in zip(training.test(range(7)), tests, strict=True):
        assert test is not None
        np.testing.assert_array_equal(test.confusion_CC, confusion)


def test_what_a_failed_step_had_made_is_gone_before_the_halves_make_theirs(
    plain: TrialSpec, images: DeviceData, monkeypatch: pytest.MonkeyPatch
) -> None:
    step, restore = Cohort._step, Cohort.restored
    made: list[weakref.ref[torch.Tensor]] = []

    def out_of_memory(self: Cohort, inputs_RB: torch.Tensor, *rest: torch.Tensor) -> torch.Tensor:
        if len(self.members) > 2:
            activations = inputs_RB * 2
            made.append(weakref.ref(activations))
            raise torch.OutOfMemoryError("CUDA out of memory.")
        return step(self, inputs_RB, *rest)

    def restored(self: Cohort, state: State) -> Cohort:
        assert made[-1]() is None
        return restore(self, state)

    monkeypatch.setattr(Cohort, "_step", out_of_memory)
    monkeypatch.setattr(Cohort, "restored", restored)
    assert len(Training(members(plain, pool=40)[:4], images).run_epoch()) == 4
    assert len(made) == 1


@pytest.mark.parametrize("method", ["_step", "validate"])
def test_one_member_for_whom_there_is_no_memory_is_dropped_and_the_others_go_on(
    method: str, plain: TrialSpec, images: DeviceData, monkeypatch: pytest.MonkeyPatch
) -> None:
    def has_focal(cohort: Cohort, _: int) -> bool:
        return any(member.trial.loss == "focal" for member in cohort.members)

    many = members(replace(plain, batch_size=8, precision="float64"), pool=40)[:6]
    expected = {position: course([many[position]], images)[0][1][0] for position in (0, 1, 4, 5)}
    short_of_memory(method, monkeypatch, when=has_focal)
    training = Training(many, images)
    found = [training.run_epoch() for _ in range(2)]
    assert [[record.member for record in epoch] for epoch in found] == [[0, 1, 4, 5]] * 2
    assert training.held == (0, 1, 4, 5)
    for record in found[-1]:
        assert_equal(record, expected[record.member], within=1e-9)


def test_one_member_that_cannot_be_tested_costs_the_others_nothing(
    plain: TrialSpec, images: DeviceData, monkeypatch: pytest.MonkeyPatch
) -> None:
    many = members(plain, pool=40)[:5]
    training = Training(many, images)
    training.run_epoch()
    expected = training.test([4, 0])
    tested: list[int] = []

    def short(cohort: Cohort, _: int) -> bool:
        tested.append(len(cohort.members))
        return many[2] in cohort.members

    short_of_memory("_evaluate", monkeypatch, when=short)
    found = training.test([4, 2, 0])
    assert tested == [3, 1, 2, 1, 1]
    assert [group.positions for group in training._groups] == [[0, 1, 3, 4]]
    assert training.left_out == {2: {0, 1, 3, 4}}
    assert found[1] is None
    for one, other in zip((found[0], found[2]), expected, strict=True):
        assert one is not None
        assert other is not None
        np.testing.assert_array_equal(one.confusion_CC, other.confusion_CC)


def test_members_stay_where_they_lie_where_there_is_no_memory_for_a_copy_without_the_others(
    plain: TrialSpec, images: DeviceData, monkeypatch: pytest.MonkeyPatch
) -> None:
    many = members(replace(plain, epochs=4, precision="float64"), pool=40)[:8]
    expected, _ = course(many, images)
    training = Training(many, images)
    training.run_epoch()
    with monkeypatch.context() as patches:
        short_of_memory("kept", patches, when=lambda *_: True)
        short_of_memory("_evaluate", patches, when=lambda cohort, _: many[1] in cohort.members)
        found = training.test([0, 1, 3])
        assert [evaluation is None for evaluation in found] == [False, True, False]
        training.drop([4, 7])
    assert [group.positions for group in training._groups] == [[0], [2, 3], [5, 6]]
    for epoch in expected[1:]:
        found_by_member = {record.member: record for record in training.run_epoch()}
        assert found_by_member.keys() == {0, 2, 3, 5, 6}
        for position, record in found_by_member.items():
            assert_equal(record, epoch[position], within=1e-9)


def test_members_for_whom_there_is_no_memory_do_not_join_and_nothing_has_changed(
    plain: TrialSpec, images: DeviceData, monkeypatch: pytest.MonkeyPatch
) -> None:
    many = members(replace(plain, model="small_cnn", epochs=3, batch_size=16, precision="float64"), pool=40)
    expected, _ = course(many[:6], images)
    training = Training(many[:6], images, width=3)
    training.run_epoch()
    training.drop([1, 4])
    with monkeypatch.context() as patches:
        short_of_memory("joined", patches, when=lambda _, calls: calls == 2)  # after another cohort could take in one
        with pytest.raises(torch.OutOfMemoryError):
            training.join(many[6:9])
    assert training.held == training.live == (0, 2, 3, 5)
    for ours in training.run_epoch():
        assert_equal(ours, expected[1][ours.member], within=1e-9)
    assert list(training.join(many[6:9])) == [6, 7, 8]
    later = {record.member: record for record in training.run_epoch()}
    assert_equal(later[7], course([many[7]], images)[0][0][0], within=1e-9)
    assert_equal(later[5], expected[2][5], within=1e-9)


def test_records_come_one_by_one_where_there_is_no_memory_for_them_all(
    plain: TrialSpec, images: DeviceData, monkeypatch: pytest.MonkeyPatch
) -> None:
    tensors = [torch.arange(6).view(2, 3), torch.tensor(0.5), torch.tensor([1.5], dtype=torch.float64)]
    expected = record_module.to_host(tensors)

    def full(_: object) -> torch.Tensor:
        raise torch.OutOfMemoryError("CUDA out of memory.")

    monkeypatch.setattr(torch, "cat", full)
    for one, other in zip(record_module.to_host(tensors), expected, strict=True):
        assert one.dtype == other.dtype == np.float64
        np.testing.assert_array_equal(one, other)


def resident(member: int) -> float:
    """What tensors hold that are not small, by storage, in multiples of `member` bytes."""
    gc.collect()
    held = {}
    for found in gc.get_objects():
        if type(found) is torch.Tensor and found.untyped_storage().nbytes() >= member // 4:
            held[found.untyped_storage().data_ptr()] = found.untyped_storage().nbytes()
    return sum(held.values()) / member


@pytest.fixture
def wide(plain: TrialSpec, images: DeviceData) -> Iterator[tuple[list[Member], int]]:
    """Eight members of a large mlp, and the bytes that one of them holds between two epochs."""
    many = members(replace(plain, model="mlp", model_params={"width": 2048}, batch_size=32), pool=40)[:8]
    size = sum(tensor.nbytes for tensor in Cohort(many[:1], images).state().tensors.values())
    gc.collect()
    gc.freeze()  # what there is by now is not looked through each time
    yield many, size
    gc.unfreeze()


def test_members_let_go_leave_their_memory_though_halves_lie_where_they_lay(
    wide: tuple[list[Member], int], images: DeviceData, monkeypatch: pytest.MonkeyPatch
) -> None:
    many, member = wide
    before = resident(member)
    training = Training(many, images)
    short_of_memory("validate", monkeypatch, when=lambda cohort, _: len(cohort.members) > 1)
    training.run_epoch()
    assert len(training._groups) == 8
    assert resident(member) - before == pytest.approx(8, abs=0.1)
    training.drop(range(1, 8))
    assert resident(member) - before == pytest.approx(1, abs=0.1)


def test_those_that_could_not_join_leave_no_memory_behind(
    wide: tuple[list[Member], int], images: DeviceData, monkeypatch: pytest.MonkeyPatch
) -> None:
    many, member = wide
    before = resident(member)
    training = Training(many[:4], images, width=3)
    training.drop([1])
    short_of_memory("joined", monkeypatch, when=lambda _, calls: calls == 2)
    with pytest.raises(torch.OutOfMemoryError):
        training.join(many[4:7])
    assert resident(member) - before == pytest.approx(3, abs=0.1)


def test_members_that_do_not_fit_beside_others_make_room_for_those_that_come_after(
    wide: tuple[list[Member], int], images: DeviceData, monkeypatch: pytest.MonkeyPatch
) -> None:
    many, member = wide
    before = resident(member)
    short_of_memory("_step", monkeypatch, when=lambda one, _: resident(member) - before + 1.2 * len(one.members) > 4.5)
    training = Training(many[:4], images)
    assert [record.member for record in training.run_epoch()] == [1, 2, 3]
    assert training.left_out == {0: {1, 2, 3}}
    alone = Training(many[:1], images)  # beside the other training
    assert alone.run_epoch() == []
    assert alone.left_out == {0: set()}
