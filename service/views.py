"""What the API answers: response models, made from what the stores hold. Requests are `sweep.spec`."""

from datetime import datetime

from pydantic import BaseModel

from sweep.results import ScenarioResult
from sweep.settings import Settings
from sweep.slots import Outcome, Slot, SlotState
from sweep.spec import SweepSpec
from sweep.store import PAUSES, Sweep, SweepState, Wanted


class ScenarioView(BaseModel):
    """A condition of the experiment, with its training samples by class in the order of the sweep's classes."""

    profile: str
    ratio: float
    counts: list[int]


class Progress(BaseModel):
    """How many trials there are in each state."""

    total: int
    waiting: int
    running: int
    complete: int
    pruned: int
    failed: int
    cancelled: int


class SweepLinks(BaseModel):
    """Where to go on."""

    self: str
    trials: str
    results: str
    mlflow: str | None
    """None until the first trial has begun."""


class SweepView(BaseModel):
    """A sweep: what was asked with every default filled in, and how far it is."""

    id: str
    name: str
    state: SweepState
    wanted: Wanted
    created_at: datetime
    ended_at: datetime | None
    spec: SweepSpec
    classes: list[str]
    scenarios: list[ScenarioView]
    progress: Progress
    links: SweepLinks


class SweepList(BaseModel):
    """A page of sweeps, the newest first."""

    items: list[SweepView]
    next_cursor: str | None


class ScenarioName(BaseModel):
    """The scenario of a trial."""

    profile: str
    ratio: float


class ReplicateView(BaseModel):
    """One seed of a trial: the objective on validation, and every metric."""

    seed: int
    value: float
    validation: dict[str, float]
    test: dict[str, float]


class AttemptView(BaseModel):
    """One try at a trial."""

    worker: str | None
    started_at: datetime | None
    ended_at: datetime | None
    outcome: Outcome | None
    reason: str | None


class TrialLinks(BaseModel):
    """Where a trial's observations are; None where there are none."""

    importance: str | None
    mlflow: str | None


class TrialView(BaseModel):
    """A trial of a sweep, numbered through all its studies."""

    number: int
    state: SlotState
    loss: str
    scenario: ScenarioName
    params: dict[str, float | str]
    value: float | None
    replicates: list[ReplicateView]
    attempts: list[AttemptView]
    reason: str | None
    """Why it ended as it did, where it did not end well."""
    links: TrialLinks


class TrialList(BaseModel):
    """A page of trials by number."""

    items: list[TrialView]
    next_cursor: str | None


class ResultsView(BaseModel):
    """What a sweep says so far: per scenario the best point, its equals and the gain over each baseline."""

    sweep: str
    name: str
    state: SweepState
    objective: str
    classes: list[str]
    replicates: int
    scenarios: list[ScenarioResult]
    notes: list[str]


def sweep_state(sweep: Sweep, counts: dict[str, int]) -> SweepState:
    """The state of a sweep: what was written when it ended, else whether anything has begun."""
    if sweep.state is not None:
        return sweep.state
    if sweep.wanted in PAUSES and not counts["running"]:
        return "paused"
    return "queued" if counts["waiting"] == counts["total"] else "running"


def sweep_view(sweep: Sweep, counts: dict[str, int], settings: Settings) -> SweepView:
    """The sweep as the API shows it."""
    here = f"/v1/sweeps/{sweep.id}"
    return SweepView(
        id=sweep.id,
        name=sweep.name,
        state=sweep_state(sweep, counts),
        wanted=sweep.wanted,
        created_at=sweep.created_at,
        ended_at=sweep.ended_at,
        spec=sweep.spec,
        classes=list(sweep.dataset.classes),
        scenarios=[ScenarioView(profile=s.profile, ratio=s.ratio, counts=list(s.counts)) for s in sweep.scenarios],
        progress=Progress(**counts),
        links=SweepLinks(
            self=here,
            trials=f"{here}/trials",
            results=f"{here}/results",
            mlflow=_experiment_url(sweep, settings),
        ),
    )


def trial_view(sweep: Sweep, slot: Slot, settings: Settings) -> TrialView:
    """The trial as the API shows it."""
    scenario, last = sweep.scenarios[slot.plan.scenario], slot.last
    run_id = last.run_id if last else None
    keeps_importance = slot.state == "complete" and "alpha" in slot.params
    return TrialView(
        number=slot.number,
        state=slot.state,
        loss=slot.plan.loss.name,
        scenario=ScenarioName(profile=scenario.profile, ratio=scenario.ratio),
        params=slot.params,
        value=last.value if last else None,
        replicates=[ReplicateView(**replicate) for replicate in (last.replicates if last else [])],
        attempts=[
            AttemptView(
                worker=attempt.worker,
                started_at=attempt.started_at,
                ended_at=attempt.ended_at,
                outcome=attempt.outcome,
                reason=attempt.reason,
            )
            for attempt in slot.attempts
            if not attempt.waits
        ],
        reason=last.reason if last else None,
        links=TrialLinks(
            importance=f"/v1/sweeps/{sweep.id}/trials/{slot.number}/importance" if keeps_importance else None,
            mlflow=f"{settings.mlflow_url}/#/experiments/{sweep.experiment_id}/runs/{run_id}" if run_id else None,
        ),
    )


def _experiment_url(sweep: Sweep, settings: Settings) -> str | None:
    if sweep.experiment_id is None:
        return None
    return f"{settings.mlflow_url}/#/experiments/{sweep.experiment_id}/runs?workflowType=machine_learning"
