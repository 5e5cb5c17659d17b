"""What must be true after any accident: every trial done once or failed with its reason, and MLflow says the same."""

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
    """Trials of which more than one attempt ended well, or more than one run is FINISHED."""
    lost: int
    """Trials that were asked for and have come to no end."""


_WELL = ("complete", "pruned")
"""Ends of which a trial has one at most, and a FINISHED run with it."""


def check(plant: Plant, sweeps: Iterable[Sweep], mlflow: httpx.Client) -> Figures:
    """The figures of sweeps that have ended; raises AssertionError where anything is amiss with them.

    Figures are taken before anything is judged, so that what is amiss is counted, and shown.
    """
    seen: list[tuple[Sweep, list[Slot], list[dict[str, Any]]]] = []
    for sweep in sweeps:
        found = plant.parts.store.get(sweep.id)
        assert found.experiment_id is not None
        seen.append((found, plant.slots(found), Runs(mlflow, found.experiment_id).all()))
    slots = [slot for _, of_sweep, _ in seen for slot in of_sweep]
    figures = Figures(
        kills=plant.kills,
        trials=len(slots),
        lost_attempts=sum(attempt.outcome == "lost" for slot in slots for attempt in slot.attempts),
        doubled=sum(_times(slot, runs) > 1 for _, of_sweep, runs in seen for slot in of_sweep),
        lost=sum(slot.state not in (*_WELL, "failed") for slot in slots),
    )
    assert (figures.doubled, figures.lost) == (0, 0), figures
    for found, of_sweep, runs in seen:
        assert found.ended_at is not None
        assert [slot.number for slot in of_sweep] == list(range(sum(len(plan.numbers) for plan in found.studies)))
        for slot in of_sweep:
            _check_slot(slot)
        _check_runs(of_sweep, runs)
    return figures


def _times(slot: Slot, runs: list[dict[str, Any]]) -> int:
    """How often a trial was done, by its attempts or by its runs, whichever says more often."""
    finished = [run for run in runs if run["info"]["status"] == "FINISHED"]
    return max(
        sum(attempt.outcome in _WELL for attempt in slot.attempts),
        sum(tags(run)[TRIAL_TAG] == str(slot.number) for run in finished),
    )


def _check_slot(slot: Slot) -> None:
    """Its attempts were lost or stopped up to the last, which ended it, and every end but a good one has its reason."""
    assert slot.last is not None, slot
    assert slot.last.outcome in (slot.state, "lost"), slot
    assert all(attempt.outcome in ("lost", "stopped") for attempt in slot.attempts[:-1]), slot
    assert all(attempt.reason for attempt in slot.attempts if attempt.outcome != "complete"), slot


def _check_runs(slots: list[Slot], runs: list[dict[str, Any]]) -> None:
    """Every run ended as its attempt did, and none is without one but was killed."""
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
    finished = {tags(run)[TRIAL_TAG] for run in of_trials.values() if run["info"]["status"] == "FINISHED"}
    assert finished == {str(slot.number) for slot in slots if slot.state in _WELL}


def _check_run(run: dict[str, Any], slot: Slot, attempt: Attempt) -> None:
    assert tags(run)[TRIAL_TAG] == str(slot.number)
    assert run["info"]["status"] == RUN_STATUSES[attempt.outcome], (run, attempt)
    if attempt.outcome == "complete":
        assert metrics(run)["value"] == pytest.approx(attempt.value)
