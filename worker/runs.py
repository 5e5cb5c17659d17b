"""Attempts' runs in MLflow: begun with the first that is sent, kept up to date, and ended as the queue says."""

import logging
from collections.abc import Sequence

from sweep.errors import Unavailable, Untold
from sweep.parts import Parts
from sweep.slots import Outcome
from sweep.store import Sweep
from sweep.tracking import RUN_STATUSES, Point

from .journal import Journal, facts

_log = logging.getLogger(__name__)


class Runs:
    """The runs of one worker's attempts. Whoever sends of an attempt holds its `sending`."""

    def __init__(self, parts: Parts, *, worker: str) -> None:
        """Insists as long as the parts' tracking does."""
        self._store, self._studies, self._tracking, self._worker = parts.store, parts.studies, parts.tracking, worker
        self._experiments: dict[str, str] = {}

    def send(self, journal: Journal, points: Sequence[Point]) -> str:
        """Sends what is new of an attempt; answers its run, which is begun with the first.

        Raises:
            LateTell: if the claim was taken back.
            Unavailable: if MLflow is away and the worker leaves.
        """
        if journal.run_id is None:
            experiment_id = self._experiment(journal.sweep)
            journal.run_id = self._tracking.start(
                experiment_id, name=journal.name, params=journal.params, tags=journal.tags
            )
        self._send_files(journal, journal.run_id)
        if not journal.is_noted:  # with the checkpoint that it may begin with, for whoever follows
            self._studies.note_run(journal.claim, journal.run_id)
            journal.is_noted = True
        news = points[journal.sent :]
        self._tracking.send(journal.run_id, news)
        journal.sent += len(news)
        return journal.run_id

    def end(self, journal: Journal, outcome: Outcome | None, reason: str | None) -> None:
        """Ends an attempt's run; without an `outcome` as the queue says: the answer to a tell may have been lost.

        Where that does not work the run stays open, and the reconciler ends it when it closes the sweep.
        """
        with journal.sending:
            if journal.run_id is None:
                return
            try:
                if outcome is None:
                    outcome, reason = self._end_in_queue(journal)
                self._send_files(journal, journal.run_id)
                self._tracking.end(journal.run_id, RUN_STATUSES[outcome], reason=reason)
            except Exception as error:
                left = {"action": "run_left_open", "run": journal.run_id, "reason": str(error)}
                _log.warning("run left open", extra=facts(journal.claim, worker=self._worker) | left)

    def _send_files(self, journal: Journal, run_id: str) -> None:
        files = journal.files
        try:
            if files:
                self._tracking.add_artifacts(run_id, files)
        except Unavailable:
            raise
        except Exception:  # MLflow refuses it, or a disk is full: it is a convenience
            _log.warning(
                "not kept", exc_info=True, extra=facts(journal.claim, worker=self._worker) | {"action": "not_kept"}
            )
        journal.let_go(files)

    def _experiment(self, sweep: Sweep) -> str:
        if sweep.id not in self._experiments:
            found = sweep.experiment_id or self._tracking.experiment(sweep)
            if sweep.experiment_id is None:
                self._store.set_experiment(sweep.id, found)
            self._experiments[sweep.id] = found
        return self._experiments[sweep.id]

    def _end_in_queue(self, journal: Journal) -> tuple[Outcome, str | None]:
        attempts = (attempt for slot in self._studies.slots(journal.sweep) for attempt in slot.attempts)
        found = next(attempt for attempt in attempts if attempt.trial_id == journal.attempt)
        if found.outcome is None:
            raise Untold(f"Trial {journal.claim.number} has not ended yet.")
        return found.outcome, found.reason
