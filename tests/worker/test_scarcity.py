"""Memory that runs out, wherever it does: it costs time, and no trial but one that is too large by itself."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest
import torch

from sweep.store import Sweep
from worker.attempt import Attempt
from worker.training.cohort import Cohort
from worker.training.evaluation import Counts
from worker.training.trace import State
from worker.training.trainer import Training
from worker.training.trial import Member

from .bench import Bench

THREE = {"alpha": 0.1, "search": {"lr": [0.01, 0.02, 0.03]}, "training": {"epochs": 2}}


def too_much() -> torch.OutOfMemoryError:
    return torch.OutOfMemoryError("CUDA out of memory.")


def outcomes(bench: Bench, sweep: Sweep) -> list[list[str | None]]:
    return [[attempt.outcome for attempt in slot.attempts] for slot in bench.slots(sweep)]


@pytest.mark.parametrize("work", ["_step", "test"])
def test_a_trial_without_memory_fails_alone_and_says_what_to_do(
    work: str, bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = getattr(Cohort, work)

    def short(self: Cohort, *given: Any) -> torch.Tensor | Counts:
        rows = given[0] if work == "test" else range(len(self.members))
        if any(self.members[row].trial.lr == 0.02 for row in rows):
            raise too_much()
        found: torch.Tensor | Counts = before(self, *given)
        return found

    monkeypatch.setattr(Cohort, work, short)
    sweep = bench.submit(**THREE)
    bench.work_off(sweep, width=3)
    assert outcomes(bench, sweep) == [["complete"], ["stopped", "failed"], ["complete"]]  # at first beside the others
    failed = bench.last_attempts(sweep)[1]
    assert failed.reason is not None
    assert "choose a smaller model or batch" in failed.reason


@pytest.mark.parametrize("room", [1, 2])
def test_trials_for_whom_there_is_no_room_wait_until_there_is(
    room: int, bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    join = Training.join

    def full(self: Training, members: Sequence[Member], states: Sequence[State | None] = ()) -> range:
        if len(self.held) + len(members) > room * 2:
            raise too_much()
        return join(self, members, states)

    monkeypatch.setattr(Training, "join", full)
    sweep = bench.submit(**THREE)
    bench.work_off(sweep, width=3)
    assert [attempt.outcome for attempt in bench.last_attempts(sweep)] == ["complete"] * 3
    assert {outcome for slot in outcomes(bench, sweep) for outcome in slot} == {"complete", "stopped"}


def test_one_trial_for_whom_there_is_no_room_at_all_fails(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    join = Training.join

    def full(self: Training, members: Sequence[Member], states: Sequence[State | None] = ()) -> range:
        if members:
            raise too_much()
        return join(self, members, states)

    monkeypatch.setattr(Training, "join", full)
    sweep = bench.submit(**THREE)
    bench.work_off(sweep, width=3)
    assert [attempt.outcome for attempt in bench.last_attempts(sweep)] == ["failed"] * 3


def test_a_batch_without_memory_between_two_epochs_is_taken_up_again(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    drop, calls = Training.drop, 0

    def short(self: Training, positions: Sequence[int]) -> None:
        nonlocal calls
        calls += 1
        if calls == 1:
            raise too_much()
        drop(self, positions)

    monkeypatch.setattr(Training, "drop", short)
    sweep = bench.submit(**THREE)
    bench.work_off(sweep, width=3)
    found = outcomes(bench, sweep)
    assert found[0] == ["lost", "complete"]
    assert all(tried in (["complete"], ["lost", "complete"]) for tried in found)  # those that were in training


def test_a_trial_goes_on_where_there_is_no_memory_for_its_checkpoint(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[object] = []

    def short(self: Training, positions: object) -> list[State]:
        asked.append(positions)
        raise too_much()

    monkeypatch.setattr(Training, "states", short)
    always = replace(bench, settings=bench.settings.model_copy(update={"checkpoint_s": 0}))
    sweep = always.submit(**THREE)
    always.work_off(sweep, width=3)
    assert asked
    assert outcomes(bench, sweep) == [["complete"]] * 3


def test_a_trial_without_memory_for_its_pictures_is_taken_up_again(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    complete, calls = Attempt.complete, 0

    def short(self: Attempt, *args: object, **kwargs: object) -> object:
        nonlocal calls
        calls += 1
        if calls == 1:
            raise too_much()
        return complete(self, *args, **kwargs)  # type: ignore[arg-type]

    monkeypatch.setattr(Attempt, "complete", short)
    sweep = bench.submit(**THREE)
    bench.work_off(sweep, width=3)
    assert outcomes(bench, sweep) == [["lost", "complete"], ["complete"], ["complete"]]
