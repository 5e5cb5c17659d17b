"""A claim in training, and the MLflow run that observes it."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass

from sweep.plan import Scenario
from sweep.slots import Outcome
from sweep.store import Sweep
from sweep.studies import Claim
from sweep.tracking import RUN_STATUSES, Tracking

from .observation import Observation
from .pictures import pictures
from .room import Room
from .run_record import run_name, run_params, run_tags
from .training.data import DeviceData
from .training.trace import State
from .training.trainer import Training
from .training.trial import Member

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempt:
    """A claim in training, observed by the run `run_id`."""

    claim: Claim
    members: Sequence[Member]
    observation: Observation
    run_id: str
    positions: Sequence[int] = ()
    """Where its members are in the training."""
    states: Sequence[State | None]
    """What its members begin with where they go on from a checkpoint, else None."""


def start_attempt(
    claim: Claim, members: Sequence[Member], *, sweep: Sweep, scenario: Scenario, data: DeviceData, content: str,
    room: Room, curve_points: int, tracking: Tracking, experiment_id: str, worker: str,
) -> Attempt:  # fmt: skip
    """Starts the run of a claim; `content` is the data set's mark, `room` what the training has.

    Of its curves by class MLflow gets at most `curve_points` epochs.
    """
    name = run_name(claim, scenario, members[0].trial)
    run_id = tracking.start(
        experiment_id,
        name=name,
        params=run_params(sweep, scenario, members, data, content=content, room=room),
        tags=run_tags(sweep, claim, worker=worker),
    )
    observation = Observation(
        title=f"{sweep.spec.dataset.name}: {name}",
        classes=sweep.dataset.classes,
        counts=scenario.counts,
        seeds=[member.seed for member in members],
        objective=sweep.spec.objective,
        is_dense=data.train.is_dense,
        epochs=sweep.spec.training.epochs,
        curve_points=curve_points,
    )
    states = [None] * len(members)
    return Attempt(claim=claim, members=members, observation=observation, run_id=run_id, states=states)


def keep_files(
    attempt: Attempt, shown: int, *, training: Training, data: DeviceData, sweep: Sweep, tracking: Tracking
) -> None:
    """Keeps what was seen of a trained attempt with its run, with pictures of what its replicate `shown` predicts."""
    files = pictures(
        training, attempt.positions[shown], member=attempt.members[shown], data=data,
        title=attempt.observation.title, classes=sweep.dataset.classes,
    )  # fmt: skip
    tracking.add_artifacts(attempt.run_id, attempt.observation.artifacts() | files)


def end_attempt(attempt: Attempt, outcome: Outcome, reason: str | None, *, tracking: Tracking) -> None:
    """Ends the run of an attempt that was told, with what was seen of it where it came to no value."""
    run_id = attempt.run_id
    try:
        if outcome in ("failed", "pruned") and attempt.observation.has_epochs:
            epoch, metrics = attempt.observation.left_out
            tracking.log(run_id, metrics, step=epoch)
            tracking.add_artifacts(run_id, attempt.observation.artifacts())
        tracking.flush(run_id)
        tracking.end(run_id, RUN_STATUSES[outcome], reason=reason)
    except Exception as error:  # the trial is told, and the reconciler ends the run once MLflow is back
        _log.warning("run left open", extra={"action": "run_left_open", "run": run_id, "reason": str(error)})
