"""The queue: a sweep's slots as trials in Optuna's storage, claimed, told, and queued again when they are lost.

A slot is one trial number of the sweep; each attempt at it is an Optuna trial that carries the slot in a user
attribute. What a method promises holds among any number of processes on the same database.
"""

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime

import optuna
from optuna.exceptions import StorageInternalError, UpdateFinishedTrialError
from optuna.storages import RDBStorage, get_storage
from optuna.study import Study
from optuna.trial import FrozenTrial, Trial, TrialState

from .attempts import attempt_of
from .database import engine_options, make_exact
from .errors import LateTell, Untold
from .plan import StudyPlan
from .samplers import at_once, known_points, pruner_for, sampler_for, suggest
from .slots import Attempt, Outcome, Replicate, Slot
from .store import Sweep

_WAITING, _RUNNING, _FAIL = TrialState.WAITING, TrialState.RUNNING, TrialState.FAIL
_MAX_WAITING = 256
"""A slot takes about 4 ms on SQLite, and a claim reads every one that waits."""
_MAX_DRAWN = 32
"""Studies whose points are remembered."""


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
        self._points: dict[tuple[str, str], list[dict[str, float]]] = {}

    def lay(self, sweep: Sweep, slots: Sequence[Slot]) -> bool:
        """Queues what the sweep lacks of `slots`, so that 256 wait at most; True where it did. Call it under a lease.

        So a claim reads few trials however large the sweep is; whoever looks at the sweep next lays what is left.
        """
        room = _MAX_WAITING - sum(attempt.waits for slot in slots for attempt in slot.attempts)
        missing = [slot for slot in slots if not slot.attempts][: max(room, 0)]
        for slot in missing:
            study = self._study(sweep, slot.plan, make=True)
            study.enqueue_trial(self._point(sweep, slot), user_attrs={"slot": slot.number})
        return bool(missing)

    def claim(
        self, sweep: Sweep, *, worker: str, width: int, workers: int = 1, plan: StudyPlan | None = None
    ) -> list[Claim]:
        """Up to `width` waiting slots of one study of the sweep, of `plan` if given, now running and held by `worker`.

        So that others find work too, a worker holds no more of a study than if `workers` shared alike what waits and
        runs there, and what the study's sampler lets be in training at once.
        """
        for one in sweep.studies if plan is None else (plan,):
            waiting = self._trials(sweep, one, states=(_WAITING,))
            if not waiting:
                continue
            running = self._trials(sweep, one, states=(_RUNNING,))
            held = sum(trial.user_attrs.get("worker") == worker for trial in running)
            most = at_once(sweep.spec)
            share = math.ceil(min(len(waiting) + len(running), most) / workers)
            room = min(width, share - held, most - len(running))
            claims: list[Claim] = []
            for trial in sorted(waiting, key=lambda trial: trial.user_attrs["slot"]):
                if len(claims) < room and self._take(trial._trial_id):
                    self._storage.set_trial_user_attr(trial._trial_id, "worker", worker)
                    claims.append(self._suggest(sweep, one, trial))
            if claims:
                return claims
        return []

    def complete(self, claim: Claim, *, value: float, replicates: Sequence[Replicate]) -> None:
        """Tells the value of a trial and what its replicates gave.

        Raises:
            LateTell: if the claim was taken back.
            Untold: if the database failed.
        """
        self._tell(claim, TrialState.COMPLETE, value, replicates=list(replicates))

    def give_up(self, claim: Claim, *, outcome: Outcome, reason: str) -> None:
        """Tells that an attempt ended without a value, and why. Raises LateTell and Untold."""
        state = TrialState.PRUNED if outcome == "pruned" else _FAIL
        self._tell(claim, state, None, outcome=outcome, reason=reason)

    def note_run(self, claim: Claim, run_id: str) -> None:
        """Notes the MLflow run that observes the attempt. Raises LateTell."""
        self._attrs(claim.trial._trial_id, run_id=run_id)

    def should_prune(self, claim: Claim, *, epoch: int, value: float) -> bool:
        """Reports the value after an epoch and asks the study's pruner. Raises LateTell."""
        try:
            claim.trial.report(value, epoch)
        except UpdateFinishedTrialError as error:
            raise LateTell(f"Trial {claim.number} was ended by somebody else meanwhile.") from error
        return claim.trial.should_prune()

    def slots(self, sweep: Sweep) -> list[Slot]:
        """Every slot of the sweep by number; one that is not laid yet waits without an attempt."""
        found: list[Slot] = []
        for plan in sweep.studies:
            attempts: dict[int, list[Attempt]] = {number: [] for number in plan.numbers}
            for trial in self._trials(sweep, plan):
                attempts[trial.user_attrs["slot"]].append(attempt_of(trial))
            found += [
                Slot(
                    number=number,
                    plan=plan,
                    attempts=tuple(tried),
                    max_retry=self._max_retry,
                    is_wanted=sweep.wanted == "run",
                )
                for number, tried in attempts.items()
            ]
        return found

    def cancel_waiting(self, slots: Sequence[Slot]) -> bool:
        """Ends every attempt that waits, running ones are their workers' to end; True where there was one."""
        ended = [
            self._end(attempt, "cancelled", "The sweep was cancelled.")
            for slot in slots
            for attempt in slot.attempts
            if attempt.waits
        ]
        return any(ended)

    def give_up_lost(self, slots: Sequence[Slot], *, workers: Collection[str], grace_s: float) -> list[Attempt]:
        """Ends the running attempts whose worker is not among the living `workers`; answers them.

        `workers` are to be read after `slots`, or a worker that came meanwhile would look dead. An attempt that is
        too young to carry its worker's name is given `grace_s` seconds.
        """
        return [
            attempt
            for slot in slots
            for attempt in slot.attempts
            if attempt.runs
            and attempt.worker not in workers
            and (attempt.worker or attempt.age_s(datetime.now(UTC)) >= grace_s)
            and self._end(attempt, "lost", f"Worker {attempt.worker} gave no sign of life, or let go of the trial.")
        ]

    def requeue_due(self, sweep: Sweep, slots: Sequence[Slot]) -> bool:
        """Queues another attempt, at the same point, of every slot that is owed one; True where one is.

        Call it under a lease.
        """
        due = [slot for slot in slots if slot.is_due]
        for slot in due:
            assert slot.last is not None, "a slot that is due has an attempt"
            study = self._study(sweep, slot.plan)
            study.enqueue_trial(dict(slot.last.params), user_attrs={"slot": slot.number})
        return bool(due)

    def _study(self, sweep: Sweep, plan: StudyPlan, *, number: int | None = None, make: bool = False) -> Study:
        name = f"{sweep.id}/{plan.key}"
        if make:
            optuna.create_study(study_name=name, storage=self._storage, direction="maximize", load_if_exists=True)
        return optuna.load_study(
            study_name=name,
            storage=self._storage,
            sampler=None if number is None else sampler_for(sweep.spec, number),
            pruner=pruner_for(sweep.spec, plan.key),
        )

    def _trials(
        self, sweep: Sweep, plan: StudyPlan, *, states: tuple[TrialState, ...] | None = None
    ) -> list[FrozenTrial]:
        try:
            return self._study(sweep, plan).get_trials(deepcopy=False, states=states)
        except KeyError:  # nothing of it is laid yet
            return []

    def _point(self, sweep: Sweep, slot: Slot) -> dict[str, float]:
        """The slot's point where it is known beforehand, else nothing. The points of a study are drawn at once."""
        key = (sweep.id, slot.plan.key)
        if key not in self._points:
            if len(self._points) >= _MAX_DRAWN:
                self._points.clear()
            size = len(slot.plan.numbers)
            self._points[key] = known_points(sweep.spec, slot.plan.space, size) or [{}] * size
        return self._points[key][slot.plan.numbers.index(slot.number)]

    def _take(self, trial_id: int) -> bool:
        try:
            return self._storage.set_trial_state_values(trial_id, _RUNNING)
        except UpdateFinishedTrialError:
            return False

    def _suggest(self, sweep: Sweep, plan: StudyPlan, waiting: FrozenTrial) -> Claim:
        number = waiting.user_attrs["slot"]
        trial = Trial(self._study(sweep, plan, number=number), waiting._trial_id)
        return Claim(number=number, plan=plan, params=suggest(trial, plan.space), trial=trial)

    def _tell(self, claim: Claim, state: TrialState, value: float | None, **attrs: object) -> None:
        try:
            self._attrs(claim.trial._trial_id, **attrs)
            claim.trial.study.tell(claim.trial, value, state=state)
        except StorageInternalError as error:
            raise Untold(f"The database did not take the end of trial {claim.number}: {error}") from error
        except ValueError as error:  # what Optuna says of a finished trial, and of a value that it cannot take
            if not self._storage.get_trial(claim.trial._trial_id).state.is_finished():
                raise
            raise LateTell(f"Trial {claim.number} was ended by somebody else meanwhile.") from error

    def _attrs(self, trial_id: int, **attrs: object) -> None:
        try:
            for name, content in attrs.items():
                self._storage.set_trial_user_attr(trial_id, name, content)
        except UpdateFinishedTrialError as error:
            raise LateTell("The trial was ended by somebody else meanwhile.") from error

    def _end(self, attempt: Attempt, outcome: Outcome, reason: str) -> bool:
        try:
            self._attrs(attempt.trial_id, outcome=outcome, reason=reason)
            return self._storage.set_trial_state_values(attempt.trial_id, _FAIL)
        except (LateTell, UpdateFinishedTrialError):
            return False
