"""What must be true after any accident: every trial done once or failed with its reason, and MLflow says the same."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import httpx
import pytest

from sweep.slots import Attempt, Slot
from sweep.store import Sweep
from sweep.tracking import RUN_STATUSES, SUMMARY, TRIAL_TAG

from ..worker.bench import Runs, metrics, tags
from .plant import Plant


@dataclass(frozen=True, slots=True, kw_only=True)
class Figures:
    """What was done to a plant, and what it cost."""

    kills: int
    trials: int
    lost_attempts: int
    doubled: int
    """Trials with more than one complete attempt, or more than one finished run."""
    lost: int
    """Trials that were asked for and have come to no end."""


def check(plant: Plant, sweeps: Iterable[Sweep], mlflow: httpx.Client) -> Figures:
    """The figures of sweeps that have ended; raises AssertionError where anything is amiss with them."""
    slots: list[Slot] = []
    doubled = 0
    for sweep in sweeps:
        found = plant.parts.store.get(sweep.id)
        of_sweep = plant.slots(found)
        assert found.ended_at is not None
        assert [slot.number for slot in of_sweep] == list(range(sum(len(plan.numbers) for plan in found.studies)))
        for slot in of_sweep:
            _check_slot(slot)
        assert found.experiment_id is not None
        doubled += _check_runs(of_sweep, Runs(mlflow, found.experiment_id).all())
        slots += of_sweep
    figures = Figures(
        kills=plant.kills,
        trials=len(slots),
        lost_attempts=sum(attempt.outcome == "lost" for slot in slots for attempt in slot.attempts),
        doubled=doubled + sum(_completed(slot) > 1 for slot in slots),
        lost=sum(slot.state not in ("complete", "pruned", "failed") for slot in slots),
    )
    assert (figures.doubled, figures.lost) == (0, 0), figures
    return figures


def _completed(slot: Slot) -> int:
    return sum(attempt.outcome == "complete" for attempt in slot.attempts)


def _check_slot(slot: Slot) -> None:
    """Nothing waits or runs, and it was done exactly once or failed with its reason."""
    assert not any(attempt.waits or attempt.runs for attempt in slot.attempts), slot
    assert slot.last is not None, slot
    assert slot.state in ("complete", "failed"), slot
    assert _completed(slot) == (slot.state == "complete"), slot
    assert all(attempt.outcome in ("lost", "stopped") for attempt in slot.attempts[:-1]), slot
    assert all(attempt.reason for attempt in slot.attempts if attempt.outcome != "complete"), slot


def _check_runs(slots: list[Slot], runs: list[dict[str, Any]]) -> int:
    """Every run ended as its attempt did, and none is without one but was killed; how many trials finished twice."""
    attempts = {attempt.run_id: (slot, attempt) for slot in slots for attempt in slot.attempts if attempt.run_id}
    of_trials = {run["info"]["run_id"]: run for run in runs if tags(run)[TRIAL_TAG] != SUMMARY}
    assert attempts.keys() <= of_trials.keys()
    for run_id, run in of_trials.items():
        if run_id in attempts:
            _check_run(run, *attempts[run_id])
        else:
            assert run["info"]["status"] == "KILLED", f"a run that no attempt owns: {run}"
    summaries = [run["info"]["status"] for run in runs if tags(run)[TRIAL_TAG] == SUMMARY]
    assert summaries.count("FINISHED") == 1
    assert set(summaries) <= {"FINISHED", "KILLED"}
    finished = Counter(tags(run)[TRIAL_TAG] for run in of_trials.values() if run["info"]["status"] == "FINISHED")
    assert set(finished) == {str(slot.number) for slot in slots if slot.state == "complete"}
    return sum(number > 1 for number in finished.values())


def _check_run(run: dict[str, Any], slot: Slot, attempt: Attempt) -> None:
    assert tags(run)[TRIAL_TAG] == str(slot.number)
    assert run["info"]["status"] == RUN_STATUSES[attempt.outcome], (run, attempt)
    if attempt.outcome == "complete":
        assert metrics(run)["value"] == pytest.approx(attempt.value)
