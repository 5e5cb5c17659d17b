"""Where memory runs out: cohorts go on in halves, and one member that has too little even alone is let go."""

import weakref
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
import torch

from worker.training.cohort import Cohort
from worker.training.data import DeviceData
from worker.training.trace import State
from worker.training.trainer import Training
from worker.training.trial import TrialSpec

from .test_cohort import assert_equal, course, members


def test_a_cohort_without_memory_goes_on_in_halves_and_loses_nothing(
    plain: TrialSpec, images: DeviceData, monkeypatch: pytest.MonkeyPatch
) -> None:
    spec = replace(
        plain, model="small_cnn", optimizer="adamw", epochs=3, batch_size=8, augment=True, precision="float64"
    )
    many = members(spec, pool=40)[:7]
    expected, tests = course(many, images)
    step, calls = Cohort._step, 0
    failed: list[weakref.ref[Cohort]] = []
    restore = Cohort.restore

    def restored(self: Cohort, state: State, rows: Sequence[int]) -> None:
        assert failed[-1]() is None  # its memory is free before the halves take theirs
        restore(self, state, rows)

    monkeypatch.setattr(Cohort, "restore", restored)

    def out_of_memory(self: Cohort, inputs_RB: torch.Tensor, *rest: torch.Tensor) -> torch.Tensor:
        nonlocal calls
        calls += 1
        if calls > 6 and len(self.members) > 2:  # in the midst of the second epoch
            failed.append(weakref.ref(self))
            raise torch.OutOfMemoryError("CUDA out of memory.")
        return step(self, inputs_RB, *rest)

    monkeypatch.setattr(Cohort, "_step", out_of_memory)
    training = Training(many, images)
    found = [training.run_epoch() for _ in range(3)]
    assert sorted(len(group.positions) for group in training._groups) == [1, 2, 2, 2]
    assert training.width == 2
    for one, other in zip(found, expected, strict=True):
        for ours, theirs in zip(one, other, strict=True):
            assert (ours.member, ours.epoch) == (theirs.member, theirs.epoch)
            assert_equal(ours, theirs, within=1e-9)
    for ours, theirs in zip(training.test(range(7)), tests, strict=True):
        np.testing.assert_array_equal(ours.confusion_CC, theirs)


def test_one_member_for_whom_there_is_no_memory_is_dropped_and_the_others_go_on(
    plain: TrialSpec, images: DeviceData, monkeypatch: pytest.MonkeyPatch
) -> None:
    step = Cohort._step

    def out_of_memory(self: Cohort, inputs_RB: torch.Tensor, *rest: torch.Tensor) -> torch.Tensor:
        if any(member.trial.loss == "focal" for member in self.members):
            raise RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes.")
        return step(self, inputs_RB, *rest)

    monkeypatch.setattr(Cohort, "_step", out_of_memory)
    many = members(replace(plain, batch_size=8, precision="float64"), pool=40)[:6]
    training = Training(many, images)
    found = [training.run_epoch() for _ in range(2)]
    assert [[record.member for record in epoch] for epoch in found] == [[0, 1, 4, 5]] * 2
    assert training.held == (0, 1, 4, 5)
    for record in found[-1]:
        assert_equal(record, course([many[record.member]], images)[0][1][0], within=1e-9)
