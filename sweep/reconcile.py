"""The reconciler: repairs what a crash left in between, and closes the sweeps whose trials have all ended.

It runs in every worker and in the API, anywhere at once: a lease in the database lets one at a time look at a sweep,
and every step may be done twice.
"""

import logging
import secrets

from .errors import Unavailable
from .slots import Slot, has_ended, progress
from .store import Store, Sweep, SweepState
from .studies import Studies
from .summary import write_summary
from .tracking import RunStatus, Tracking

_LEASE_S = 60.0
"""Longer than any look takes; a process that dies while it looks holds the others up for so long."""
_log = logging.getLogger(__name__)


class Reconciler:
    """Holds every open sweep to its invariant: some slot waits or runs, or the sweep is closed."""

    def __init__(self, store: Store, studies: Studies, tracking: Tracking, *, holder: str, grace_s: float) -> None:
        """`holder` names this process in the leases; a worker without a sign of life for `grace_s` is dead.

        `tracking` should try once only: a look holds a lease, and there is another look soon.
        """
        self._store, self._studies, self._tracking = store, studies, tracking
        self._holder, self._grace_s = holder, grace_s

    def run(self) -> None:
        """Looks at every open sweep that nobody else is looking at."""
        for sweep in self._store.open_sweeps():
            self.look_at(sweep)

    def look_at(self, sweep: Sweep) -> None:
        """Lays what is missing of one sweep, repairs it, and closes it where all its trials have ended."""
        name, holder = f"reconcile/{sweep.id}", f"{self._holder}/{secrets.token_hex(4)}"
        if self._store.lease(name, holder=holder, seconds=_LEASE_S):
            try:
                self._repair(self._store.get(sweep.id))
            except Unavailable as error:  # the next look may find MLflow back; the other sweeps need not wait for it
                _log.warning("sweep left", extra={"action": "sweep_left", "sweep": sweep.id, "reason": str(error)})
            finally:
                self._store.release(name, holder=holder)

    def _repair(self, sweep: Sweep) -> None:
        if sweep.ended_at is not None:
            return
        living = self._store.living(grace_s=self._grace_s)
        lost_runs = self._studies.give_up_lost(sweep, workers=living, grace_s=self._grace_s)
        if sweep.wanted == "cancel":
            self._studies.cancel_waiting(sweep)
        else:
            self._studies.lay(sweep)
            self._studies.requeue_due(sweep)
        for run_id in lost_runs:
            self._tracking.end(run_id, "KILLED", reason="The worker was lost; the trial is tried again.")
        slots = self._studies.slots(sweep)
        if has_ended(progress(slots)):
            self._close(sweep, slots)

    def _close(self, sweep: Sweep, slots: list[Slot]) -> None:
        experiment_id = sweep.experiment_id or self._tracking.experiment(sweep)
        if sweep.experiment_id is None:
            self._store.set_experiment(sweep.id, experiment_id)
        self._end_runs(experiment_id, slots)
        write_summary(sweep, slots, experiment_id=experiment_id, tracking=self._tracking)
        counts = progress(slots)
        state: SweepState = "finished" if counts["complete"] else "failed"
        if sweep.wanted == "cancel":
            state = "cancelled"
        self._store.close(sweep.id, state=state, progress=counts)
        _log.info("sweep ended", extra={"action": "sweep_ended", "sweep": sweep.id, "state": state})

    def _end_runs(self, experiment_id: str, slots: list[Slot]) -> None:
        """Ends the runs whose worker told the trial and died before it ended the run; all was recorded by then."""
        statuses: dict[str, RunStatus] = {
            attempt.run_id: "FINISHED" if attempt.outcome in ("complete", "pruned") else "KILLED"
            for slot in slots
            for attempt in slot.attempts
            if attempt.run_id
        }
        for run_id in self._tracking.running(experiment_id):
            self._tracking.end(run_id, statuses.get(run_id, "KILLED"), reason="Ended after its worker was lost.")
