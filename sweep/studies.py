"""The queue: a sweep's slots as trials in Optuna's storage, claimed, told, and queued again when they are lost.

A slot is one trial number of the sweep; each attempt at it is an Optuna trial that carries the slot in a user
attribute. What a method promises holds among any number of processes on the same database.
"""

import logging
import math
import time
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field

from optuna.exceptions import StorageInternalError
from optuna.trial import FrozenTrial, Trial, TrialState

from .attempts import attempt_of
from .errors import DatabaseAway, LateTell, Untold
from .patience import Patience
from .plan import StudyPlan
from .samplers import at_once, known_points
from .slots import Attempt, Outcome, Replicate, Slot
from .store import Sweep
from .trials import Trials

_LIVE_OR_DONE = (TrialState.WAITING, TrialState.RUNNING, TrialState.COMPLETE, TrialState.PRUNED)
_MAX_WAITING = 256
"""A slot takes about 4 ms on SQLite, and a claim reads every one that waits."""
_MAX_DRAWN = 32
"""Studies whose points are remembered."""
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """A slot that this worker holds, with the point it is to try."""

    sweep: str
    """The sweep's id."""
    number: int
    plan: StudyPlan
    params: Mapping[str, float]
    """What Optuna suggested; fixed parameters are not among them."""
    trial: Trial = field(repr=False)
    follows: str | None = None
    """The run of the attempt that was lost before this one."""

    @property
    def attempt(self) -> int:
        """The attempt's id in Optuna's storage."""
        return self.trial._trial_id


class Studies:
    """Optuna's storage as our queue."""

    def __init__(self, url: str, *, max_retry: int, patience: Patience | None = None) -> None:
        """Connects, making Optuna's tables where they are missing: call it under `database.exclusive`."""
        self._trials = Trials(url, patience=patience or Patience())
        self._max_retry = max_retry
        self._points: dict[tuple[str, str], list[dict[str, float]]] = {}
        self._nameless: dict[int, float] = {}
        """When attempts that have no worker's name yet were first seen, by this process's own clock."""

    @property
    def version(self) -> str:
        """The version of Optuna's tables."""
        return self._trials.version

    def close(self) -> None:
        """Closes the connections that lie ready."""
        self._trials.close()

    def lay(self, sweep: Sweep, slots: Sequence[Slot]) -> bool:
        """Queues what the sweep lacks of `slots`, so that 256 wait at most; True where it did. Call it under a lease.

        So a claim reads few trials however large the sweep is; whoever looks at the sweep next lays what is left.
        """
        room = _MAX_WAITING - sum(attempt.waits for slot in slots for attempt in slot.attempts)
        missing = [slot for slot in slots if not slot.attempts][: max(room, 0)]
        for slot in missing:
            self._trials.add(sweep, slot.plan, slot=slot.number, point=self._point(sweep, slot))
        return bool(missing)

    def claim(
        self, sweep: Sweep, *, worker: str, width: int, held: int = 0, workers: int = 1, plan: StudyPlan | None = None
    ) -> list[Claim]:
        """Up to `width` waiting slots of one study of the sweep, of `plan` if given, now running and held by `worker`.

        None whose slot has an earlier attempt that lives or is done. So that others find work too, a worker that has
        `held` of the study in training gets no more than its share, were all that waits and runs there shared alike by
        `workers`. What a sampler that models lets run at once counts trials that are trained and not told yet, too;
        workers that claim at the same moment do not see each other, and may go beyond it together.
        """
        for one in sweep.studies if plan is None else (plan,):
            trials = self._trials.of(sweep, one, states=_LIVE_OR_DONE)
            first = {trial.user_attrs["slot"]: trial for trial in reversed(trials)}
            waiting = [first[slot] for slot in sorted(first) if first[slot].state == TrialState.WAITING]
            running = sum(trial.state == TrialState.RUNNING for trial in trials)
            most = at_once(sweep.spec)
            share = math.ceil(min(len(waiting) + running, most) / workers)
            room = min(width, share - held, most - running)
            claims: list[Claim] = []
            for trial in waiting:
                if len(claims) < room and self._trials.take(trial._trial_id):
                    claims += self._suggested(sweep, one, trial, worker=worker)
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
        state = TrialState.PRUNED if outcome == "pruned" else TrialState.FAIL
        self._tell(claim, state, None, outcome=outcome, reason=reason)

    def note_run(self, claim: Claim, run_id: str) -> None:
        """Notes the MLflow run that observes the attempt. Raises LateTell."""
        self._trials.note(claim.attempt, {"run_id": run_id})

    def should_prune(self, claim: Claim, *, epoch: int, value: float) -> bool:
        """Reports the value after an epoch and asks the study's pruner. Raises LateTell and DatabaseAway."""
        try:
            return self._trials.report(claim.trial, value, epoch=epoch)
        except StorageInternalError as error:
            raise DatabaseAway(f"The database did not take epoch {epoch} of trial {claim.number}: {error}") from error

    def slots(self, sweep: Sweep) -> list[Slot]:
        """Every slot of the sweep by number; one that is not laid yet waits without an attempt."""
        found: list[Slot] = []
        is_wanted = sweep.wanted != "cancel"
        for plan in sweep.studies:
            attempts: dict[int, list[Attempt]] = {number: [] for number in plan.numbers}
            for trial in self._trials.of(sweep, plan):
                attempts[trial.user_attrs["slot"]].append(attempt_of(trial))
            found += [
                Slot(number=number, plan=plan, attempts=tuple(tried), max_retry=self._max_retry, is_wanted=is_wanted)
                for number, tried in attempts.items()
            ]
        return found

    def cancel_waiting(self, slots: Sequence[Slot]) -> bool:
        """Ends every attempt that waits, running ones are their workers' to end; True where there was one."""
        waiting = [attempt for slot in slots for attempt in slot.attempts if attempt.waits]
        return any([self._end(attempt, "cancelled", "The sweep was cancelled.") for attempt in waiting])

    def give_up_lost(self, slots: Sequence[Slot], *, workers: Collection[str], grace_s: float) -> list[Attempt]:
        """Ends the running attempts whose worker is not among the living `workers`; answers them.

        `workers` are to be read after `slots`, or a worker that came meanwhile would look dead. An attempt without a
        worker's name, just claimed or claimed in vain, is given `grace_s` seconds from when it was first seen here.
        """
        attempts = [attempt for slot in slots for attempt in slot.attempts]
        for attempt in attempts:
            if attempt.worker or not attempt.runs:
                self._nameless.pop(attempt.trial_id, None)
        return [
            attempt
            for attempt in attempts
            if attempt.runs
            and attempt.worker not in workers
            and (attempt.worker or self._has_been_nameless(attempt, for_s=grace_s))
            and self._end(attempt, "lost", f"Worker {attempt.worker} gave no sign of life, or let go of the trial.")
        ]

    def end_doubles(self, slots: Sequence[Slot]) -> bool:
        """Ends attempts that were queued though an earlier one lived or was done; True where there was one."""
        doubles = [attempt for slot in slots for attempt in slot.doubles]
        return any([self._end(double, "stopped", "An earlier attempt at it was there already.") for double in doubles])

    def requeue_due(self, sweep: Sweep, slots: Sequence[Slot]) -> bool:
        """Queues another attempt, at the same point, of every slot that is owed one; True where one is.

        Call it under a lease.
        """
        due = [slot for slot in slots if slot.is_due]
        self._queue_again(sweep, due)
        return bool(due)

    def retry(self, sweep: Sweep, slots: Sequence[Slot]) -> None:
        """Queues another attempt of every slot that failed, as a user asked. Call it under a lease."""
        self._queue_again(sweep, [slot for slot in slots if slot.state == "failed"], asked=True)

    def _queue_again(self, sweep: Sweep, slots: Sequence[Slot], **attrs: object) -> None:
        for slot in slots:
            assert slot.last is not None, "what is tried again was tried before"
            runs = [attempt.run_id for attempt in slot.attempts if attempt.run_id]
            follows = {} if attrs or not runs else {"follows": runs[-1]}
            self._trials.add(sweep, slot.plan, slot=slot.number, point=dict(slot.last.params), **follows, **attrs)

    def _point(self, sweep: Sweep, slot: Slot) -> dict[str, float]:
        """The slot's point where it is known beforehand, else nothing. The points of a study are drawn at once."""
        key = (sweep.id, slot.plan.key)
        points = self._points.get(key)
        if points is None:
            if len(self._points) >= _MAX_DRAWN:
                self._points.clear()
            size = len(slot.plan.numbers)
            points = self._points[key] = known_points(sweep.spec, slot.plan.space, size) or [{}] * size
        return points[slot.plan.numbers.index(slot.number)]

    def _suggested(self, sweep: Sweep, plan: StudyPlan, waiting: FrozenTrial, *, worker: str) -> list[Claim]:
        """The claim of a trial that was taken; none where no point could be had for it, which ends it."""
        try:
            self._trials.note(waiting._trial_id, {"worker": worker})
            trial, params = self._trials.suggest(sweep, plan, waiting)
        except LateTell:  # an outage was so long that somebody took it for lost
            return []
        except (DatabaseAway, StorageInternalError) as error:
            outcome: Outcome = "stopped" if isinstance(error, DatabaseAway) else "lost"
            self._let_go(waiting, outcome, f"The database failed while its point was chosen: {error}")
            raise
        except Exception as error:  # a sampler's misfortune costs this trial, and no other
            _log.exception("no point", extra={"action": "no_point", "sweep": sweep.id, "worker": worker})
            self._let_go(waiting, "failed", f"No point was found: {type(error).__name__}: {error}")
            return []
        number, follows = waiting.user_attrs["slot"], waiting.user_attrs.get("follows")
        return [Claim(sweep=sweep.id, number=number, plan=plan, params=params, trial=trial, follows=follows)]

    def _let_go(self, waiting: FrozenTrial, outcome: Outcome, reason: str) -> None:
        try:
            self._trials.fail(waiting._trial_id, {"outcome": outcome, "reason": reason})
        except (DatabaseAway, StorageInternalError):  # it bears our name or none; whoever reconciles queues it again
            _log.warning("trial let go", exc_info=True, extra={"action": "trial_let_go", "trial_id": waiting._trial_id})

    def _tell(self, claim: Claim, state: TrialState, value: float | None, **attrs: object) -> None:
        try:
            self._trials.tell(claim.trial, state, value, attrs)
        except (StorageInternalError, DatabaseAway) as error:
            raise Untold(f"The database did not take the end of trial {claim.number}: {error}") from error

    def _has_been_nameless(self, attempt: Attempt, *, for_s: float) -> bool:
        """Whether this process has known a running attempt for so long without a worker's name."""
        now = time.monotonic()
        return now - self._nameless.setdefault(attempt.trial_id, now) >= for_s

    def _end(self, attempt: Attempt, outcome: Outcome, reason: str) -> bool:
        self._nameless.pop(attempt.trial_id, None)
        return self._trials.fail(attempt.trial_id, {"outcome": outcome, "reason": reason})
