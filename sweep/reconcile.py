"""The reconciler: repairs what a crash left in between, and closes the sweeps whose trials have all ended.

It runs in every worker and in the API, anywhere at once: a lease in the database lets one at a time look at a sweep,
and every step may be done twice. Who was stopped for longer than its lease finds that out before it queues anything;
what it queues in the moment after is never claimed, and ended by the next look.
"""

import logging
import secrets
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from tenacity import Retrying, retry_if_exception_type, stop_after_delay, wait_fixed

from .errors import Conflict, Unavailable
from .slots import Slot, has_ended, progress
from .store import Store, Sweep, SweepState
from .studies import Studies
from .summary import write_summary
from .tracking import RUN_STATUSES, Tracking

_LEASE_S = 120.0
"""Far longer than a look takes, 256 slots being laid at most and MLflow being asked once; it is extended before
anything is queued and before a sweep is closed. A process that dies while it looks holds the others up for so long."""
_LOOK_S = 3.0
"""How long somebody else's look usually takes at most."""
_log = logging.getLogger(__name__)


class _LookedAt(Conflict):
    """Raised while somebody else has the lease."""


class Reconciler:
    """Holds every open sweep to its invariant: some slot waits or runs, or the sweep is closed."""

    def __init__(self, store: Store, studies: Studies, tracking: Tracking, *, holder: str, grace_s: float) -> None:
        """`holder` names this process in the leases; a worker without a sign of life for `grace_s` is dead.

        `tracking` should try once only: a look holds a lease, and there is another look soon.
        """
        self._store, self._studies, self._tracking = store, studies, tracking
        self._holder, self._grace_s = holder, grace_s

    def run(self) -> None:
        """Looks at every open sweep that nobody else is looking at; what is wrong with one leaves the others alone."""
        for sweep in self._store.open_sweeps():
            self.look_at(sweep)

    def look_at(self, sweep: Sweep) -> None:
        """Lays what is missing of one sweep, repairs it, and closes it where all its trials have ended.

        What goes wrong is logged, and left to the next look.
        """
        try:
            self._look_at(sweep)
        except _LookedAt:
            pass
        except Exception as error:
            _log.warning(
                "sweep left",
                exc_info=not isinstance(error, Unavailable | OSError),
                extra={"action": "sweep_left", "sweep": sweep.id, "reason": str(error)},
            )

    def _look_at(self, sweep: Sweep) -> None:
        with self._lease(sweep) as extend:
            found = self._store.get(sweep.id)
            if found.ended_at is not None:
                return
            slots = self._repaired(found, extend)
            if has_ended(progress(slots)):
                extend()
                self._close(found, slots)

    def retry(self, sweep: Sweep) -> None:
        """Tries again what failed of a sweep, which is open from then on, whether it had ended or not.

        Raises:
            Conflict: where nothing failed, the sweep was cancelled, or somebody looks at it for longer than a moment.
        """
        patience = stop_after_delay(_LOOK_S)
        for attempt in Retrying(
            retry=retry_if_exception_type(_LookedAt), stop=patience, wait=wait_fixed(0.1), reraise=True
        ):
            with attempt:
                self._retry(sweep)

    def _retry(self, sweep: Sweep) -> None:
        with self._lease(sweep) as extend:
            found = self._store.get(sweep.id)
            slots = self._studies.slots(found)
            if found.wanted == "cancel":
                raise Conflict(f"Sweep {sweep.id} was cancelled; submit it anew.")
            if not any(slot.state == "failed" for slot in slots):
                raise Conflict(f"No trial of sweep {sweep.id} has failed; there is nothing to try again.")
            extend()
            if found.ended_at is not None:  # before anything waits: a sweep without work is closed again
                self._store.reopen(sweep.id)
            self._studies.retry(found, slots)

    @contextmanager
    def _lease(self, sweep: Sweep) -> Iterator[Callable[[], None]]:
        """A lease on the sweep and how to extend it, both of which raise _LookedAt where somebody else has it."""
        name, holder = f"reconcile/{sweep.id}", f"{self._holder}/{secrets.token_hex(4)}"

        def insist_on(has_it: bool) -> None:
            if not has_it:
                raise _LookedAt(f"Sweep {sweep.id} is being looked after; ask again in a moment.")

        insist_on(self._store.lease(name, holder=holder, seconds=_LEASE_S))
        try:
            yield lambda: insist_on(self._store.extend(name, holder=holder, seconds=_LEASE_S))
        finally:
            self._store.release(name, holder=holder)

    def _repaired(self, sweep: Sweep, extend: Callable[[], None]) -> list[Slot]:
        """The sweep's slots after whatever was amiss is put right."""
        slots = self._studies.slots(sweep)
        living = self._store.living(grace_s=self._grace_s)
        lost = self._studies.give_up_lost(slots, workers=living, grace_s=self._grace_s)
        if lost:
            slots = self._studies.slots(sweep)
        if sweep.wanted == "cancel":
            changed = self._studies.cancel_waiting(slots)
        else:
            extend()
            laid, requeued = self._studies.lay(sweep, slots), self._studies.requeue_due(sweep, slots)
            changed = self._studies.end_doubles(slots) or laid or requeued
        for attempt in lost:
            if attempt.run_id is not None:
                self._tracking.end(attempt.run_id, "KILLED", reason="The worker was lost.")
        return self._studies.slots(sweep) if changed else slots

    def _close(self, sweep: Sweep, slots: list[Slot]) -> None:
        experiment_id = sweep.experiment_id or self._tracking.experiment(sweep)
        if sweep.experiment_id is None:
            self._store.set_experiment(sweep.id, experiment_id)
        self._end_runs(experiment_id, slots)
        self._summarise(sweep, slots, experiment_id=experiment_id)
        counts = progress(slots)
        state: SweepState = "finished" if counts["complete"] else "failed"
        if sweep.wanted == "cancel":
            state = "cancelled"
        if self._store.close(sweep.id, state=state, progress=counts, wanted=sweep.wanted):
            _log.info("sweep ended", extra={"action": "sweep_ended", "sweep": sweep.id, "state": state})

    def _summarise(self, sweep: Sweep, slots: list[Slot], *, experiment_id: str) -> None:
        try:
            write_summary(sweep, slots, experiment_id=experiment_id, tracking=self._tracking)
        except (Unavailable, OSError):  # a full disk passes as well
            raise
        except Exception:  # an experiment that was deleted in MLflow, say: the trials have ended all the same
            _log.warning("no summary", exc_info=True, extra={"action": "no_summary", "sweep": sweep.id})

    def _end_runs(self, experiment_id: str, slots: list[Slot]) -> None:
        """Ends the runs whose worker told the trial and could not end the run; all was recorded by then.

        One that MLflow refuses to end stays as it is, and holds nothing up.
        """
        attempts = {attempt.run_id: attempt for slot in slots for attempt in slot.attempts if attempt.run_id}
        for run_id in self._tracking.running(experiment_id):
            attempt = attempts.get(run_id)
            outcome = attempt.outcome if attempt else None
            reason = attempt.reason if attempt else "No trial owns this run."
            try:
                self._tracking.end(run_id, RUN_STATUSES.get(outcome, "KILLED"), reason=reason)
            except Unavailable:
                raise
            except Exception as error:
                facts = {"action": "run_left_open", "run": run_id, "reason": str(error)}
                _log.warning("run left open", extra=facts)
