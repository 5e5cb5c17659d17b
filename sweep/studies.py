"""The queue: a sweep's slots as trials in Optuna's storage, claimed, told, and queued again when they are lost.

A slot is one trial number of the sweep; each attempt at it is an Optuna trial that carries the slot in a user
attribute. What a method promises holds among any number of processes on the same database.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

import optuna
from optuna.exceptions import UpdateFinishedTrialError
from optuna.storages import RDBStorage, get_storage
from optuna.study import Study
from optuna.trial import FrozenTrial, Trial, TrialState

from .database import engine_options, make_exact
from .plan import StudyPlan
from .samplers import known_points, pruner_for, sampler_for, suggest
from .slots import Attempt, Outcome, Replicate, Slot
from .store import Sweep

_WAITING, _RUNNING, _FAIL = TrialState.WAITING, TrialState.RUNNING, TrialState.FAIL
_OUTCOMES: Mapping[TrialState, Outcome] = {TrialState.COMPLETE: "complete", TrialState.PRUNED: "pruned"}


_MAX_LAID = 4_000
"""A slot takes about 4 ms on SQLite."""


class LateTell(Exception):
    """Raised when a claim was taken back meanwhile (lost or cancelled); the worker drops the trial and lives on."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """A slot that this worker holds, with the point it is to try."""

    number: int
    plan: StudyPlan
    params: Mapping[str, float]
    """What Optuna suggested; fixed parameters are not among them."""
    trial: Trial = field(repr=False)


class Studies:
    """Optuna's storage as our queue."""

    def __init__(self, url: str, *, max_retry: int) -> None:
        """Connects, making Optuna's tables where they are missing: call it under `database.exclusive`."""
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        storage = RDBStorage(url, engine_kwargs=engine_options(url))
        make_exact(storage.engine)
        storage.engine.dispose()
        self._storage = get_storage(storage)
        self._max_retry = max_retry

    def lay(self, sweep: Sweep) -> None:
        """Creates the studies and slots that the sweep lacks, up to 4,000 a call; call it under a lease.

        Laying goes in portions so that no lease is held for long; the next look lays what is left.
        """
        room = _MAX_LAID
        for plan in sweep.studies:
            study = optuna.create_study(
                study_name=_study_name(sweep, plan),
                storage=self._storage,
                direction="maximize",
                load_if_exists=True,
            )
            there = {trial.user_attrs["slot"] for trial in study.get_trials(deepcopy=False)}
            points = None
            for index, number in enumerate(plan.numbers):
                if number not in there and room:
                    room -= 1
                    points = (
                        points or known_points(sweep.spec, plan.space, len(plan.numbers)) or [{}] * len(plan.numbers)
                    )
                    study.enqueue_trial(points[index], user_attrs={"slot": number})

    def claim(self, sweep: Sweep, *, worker: str, width: int) -> list[Claim]:
        """Up to `width` waiting slots of one study of the sweep, now running and held by `worker`."""
        for plan in sweep.studies:
            waiting = [trial for trial in self._trials(sweep, plan) if trial.state == _WAITING]
            claims: list[Claim] = []
            for trial in sorted(waiting, key=lambda trial: trial.user_attrs["slot"]):
                if len(claims) < width and self._take(trial._trial_id):
                    self._storage.set_trial_user_attr(trial._trial_id, "worker", worker)
                    claims.append(self._suggest(sweep, plan, trial))
            if claims:
                return claims
        return []

    def complete(self, claim: Claim, *, value: float, replicates: Sequence[Replicate]) -> None:
        """Tells the value of a trial and what its replicates gave.

        Raises:
            LateTell: if the claim was taken back.
        """
        self._tell(claim, TrialState.COMPLETE, value, replicates=list(replicates))

    def give_up(self, claim: Claim, *, outcome: Outcome, reason: str) -> None:
        """Tells that an attempt ended without a value, and why. Raises LateTell."""
        state = TrialState.PRUNED if outcome == "pruned" else _FAIL
        self._tell(claim, state, None, outcome=outcome, reason=reason)

    def note_run(self, claim: Claim, run_id: str) -> None:
        """Notes the MLflow run that observes the attempt. Raises LateTell."""
        self._attrs(claim.trial._trial_id, run_id=run_id)

    def should_prune(self, claim: Claim, *, epoch: int, value: float) -> bool:
        """Reports the value after an epoch and asks the study's pruner."""
        claim.trial.report(value, epoch)
        return claim.trial.should_prune()

    def slots(self, sweep: Sweep) -> list[Slot]:
        """Every slot of the sweep by number; one that is not laid yet waits without an attempt."""
        found: list[Slot] = []
        retries = self._max_retry if sweep.wanted == "run" else -1
        for plan in sweep.studies:
            attempts: dict[int, list[Attempt]] = {number: [] for number in plan.numbers}
            for trial in self._trials(sweep, plan):
                attempts[trial.user_attrs["slot"]].append(_attempt(trial))
            found += [
                Slot(number=number, plan=plan, attempts=tuple(tried), max_retry=retries)
                for number, tried in attempts.items()
            ]
        return found

    def cancel_waiting(self, sweep: Sweep) -> None:
        """Ends every slot that waits; running ones are their workers' to end."""
        for plan in sweep.studies:
            for trial in self._trials(sweep, plan):
                if trial.state == _WAITING:
                    self._end(trial, "cancelled", "The sweep was cancelled.")

    def give_up_lost(self, sweep: Sweep, *, workers: Collection[str], grace_s: float) -> list[str]:
        """Ends the attempts whose worker is not among the living `workers`; answers their MLflow runs.

        An attempt that is too young to carry its worker's name is given `grace_s` seconds.
        """
        runs: list[str] = []
        for plan in sweep.studies:
            for trial in self._trials(sweep, plan):
                worker = trial.user_attrs.get("worker")
                if trial.state != _RUNNING or worker in workers or _age_s(trial) < (0 if worker else grace_s):
                    continue
                if self._end(trial, "lost", f"Worker {worker} gave no sign of life.") and "run_id" in trial.user_attrs:
                    runs.append(trial.user_attrs["run_id"])
        return runs

    def requeue_due(self, sweep: Sweep) -> None:
        """Queues another attempt, at the same point, of every slot that is owed one; call it under a lease."""
        for slot in self.slots(sweep):
            if slot.is_due and slot.last is not None:
                point = dict(slot.last.params)
                self._study(sweep, slot.plan).enqueue_trial(point, user_attrs={"slot": slot.number})

    def _study(self, sweep: Sweep, plan: StudyPlan, number: int | None = None) -> Study:
        return optuna.load_study(
            study_name=_study_name(sweep, plan),
            storage=self._storage,
            sampler=None if number is None else sampler_for(sweep.spec, number),
            pruner=pruner_for(sweep.spec),
        )

    def _trials(self, sweep: Sweep, plan: StudyPlan) -> list[FrozenTrial]:
        try:
            return self._study(sweep, plan).get_trials(deepcopy=False)
        except KeyError:  # not laid yet
            return []

    def _take(self, trial_id: int) -> bool:
        try:
            return self._storage.set_trial_state_values(trial_id, _RUNNING)
        except UpdateFinishedTrialError:
            return False

    def _suggest(self, sweep: Sweep, plan: StudyPlan, waiting: FrozenTrial) -> Claim:
        number = waiting.user_attrs["slot"]
        trial = Trial(self._study(sweep, plan, number), waiting._trial_id)
        return Claim(number=number, plan=plan, params=suggest(trial, plan.space), trial=trial)

    def _tell(self, claim: Claim, state: TrialState, value: float | None, **attrs: object) -> None:
        self._attrs(claim.trial._trial_id, **attrs)
        try:
            claim.trial.study.tell(claim.trial, value, state=state)
        except ValueError as error:  # what Optuna says of a finished trial
            raise LateTell(f"Trial {claim.number} was ended by somebody else meanwhile.") from error

    def _attrs(self, trial_id: int, **attrs: object) -> None:
        try:
            for name, content in attrs.items():
                self._storage.set_trial_user_attr(trial_id, name, content)
        except UpdateFinishedTrialError as error:
            raise LateTell("The trial was ended by somebody else meanwhile.") from error

    def _end(self, trial: FrozenTrial, outcome: Outcome, reason: str) -> bool:
        try:
            self._attrs(trial._trial_id, outcome=outcome, reason=reason)
            return self._storage.set_trial_state_values(trial._trial_id, _FAIL)
        except (LateTell, UpdateFinishedTrialError):
            return False


def _study_name(sweep: Sweep, plan: StudyPlan) -> str:
    return f"{sweep.id}/{plan.key}"


def _attempt(trial: FrozenTrial) -> Attempt:
    attrs = trial.user_attrs
    ended = trial.state.is_finished()
    return Attempt(
        worker=attrs.get("worker"),
        started_at=_utc(trial.datetime_start),
        ended_at=_utc(trial.datetime_complete),
        waits=trial.state == _WAITING,
        outcome=_OUTCOMES.get(trial.state, attrs.get("outcome", "failed")) if ended else None,
        reason=attrs.get("reason"),
        params=trial.params or trial.system_attrs.get("fixed_params", {}),
        value=trial.value if trial.state == TrialState.COMPLETE else None,
        replicates=attrs.get("replicates", []),
        run_id=attrs.get("run_id"),
    )


def _age_s(trial: FrozenTrial) -> float:
    started = trial.datetime_start or datetime.now()
    return (datetime.now() - started) / timedelta(seconds=1)


def _utc(moment: datetime | None) -> datetime | None:
    """Optuna keeps local times without a zone."""
    return moment.astimezone(UTC) if moment else None
