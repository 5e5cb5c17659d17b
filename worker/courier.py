"""The way of what is seen to MLflow, and then of an attempt's end to the queue, beside the training."""

import logging
import threading
import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress

from sweep.errors import LateTell, Unavailable, Untold
from sweep.parts import Parts
from sweep.slots import Outcome
from sweep.studies import Claim

from .journal import Journal, Record, facts
from .runs import Runs
from .spool import Spool
from .wishes import interruption_by

_EVERY_S = 1.0
"""How long points gather before they are sent: MLflow's rate grows with the batch."""
_SETTLES_S = 1.0
"""How long a result is waited for by those that learn from it."""
_HEEDS_AFTER_S = 3.0
"""How long an attempt waits to be told before it is asked whether anybody still wants that."""
_BEARERS = 6
"""Attempts whose ends are on their way at once: each is a handful of requests, one after another."""
_log = logging.getLogger(__name__)


class Courier:
    """Sends attempts' metrics while they are trained, and tells each one's end once MLflow has all of it.

    The training never waits for it. With MLflow away it insists, and the records of those that end gather in the
    spool; an attempt stays its worker's until it is told, so that one whose worker dies is made again, or found in the
    spool. Once `stop` is set everything is tried once more, and what MLflow does not take is queued again.
    """

    def __init__(self, parts: Parts, spool: Spool, *, worker: str, stop: threading.Event) -> None:
        """Starts its threads; `close` ends them."""
        self._store, self._studies, self._tracking = parts.store, parts.studies, parts.tracking
        self._runs = Runs(parts, worker=worker)
        self._spool, self._worker, self._stop = spool, worker, stop
        self._training: dict[int, Journal] = {}
        self._ended: dict[int, Journal] = {}
        """Not told yet."""
        self._last_took_s = 0.0
        self._changed = threading.Condition()
        self._hurry, self._closed = False, threading.Event()
        self._writer = ThreadPoolExecutor(1, thread_name_prefix="spool")
        self._bearers = ThreadPoolExecutor(_BEARERS, thread_name_prefix="bearer")
        self._threads = [
            threading.Thread(target=run, name=run.__name__, daemon=True) for run in (self._send_all, self._heed_all)
        ]
        for thread in self._threads:
            thread.start()

    @property
    def is_idle(self) -> bool:
        """True while no attempt waits to be told."""
        return not self._ended

    def settle(self) -> None:
        """Waits a moment until all is told, for whoever learns from it; not where the last took longer than that."""
        if self._last_took_s < _SETTLES_S:
            with self._changed:
                if not self._changed.wait_for(lambda: not self._ended, timeout=_SETTLES_S):
                    self._last_took_s = _SETTLES_S

    def recall(self, journal: Journal) -> Record | None:
        """What an earlier attempt at just this training has left here, if it came to its end and was not told."""
        return self._spool.recall(journal)

    def begin(self, journal: Journal) -> None:
        """Sends what is logged of an attempt from now on."""
        self._training[journal.attempt] = journal
        self._wake()

    def keep(self, journal: Journal, files: Mapping[str, bytes]) -> None:
        """Sends files of an attempt in training, in place of those of the same names that are still on their way."""
        journal.keep(files)
        self._wake()

    def finish(self, journal: Journal, record: Record) -> None:
        """Tells the attempt's end once MLflow has all of it."""
        journal.ended_at = time.monotonic()
        self._ended[journal.attempt] = journal
        self._training.pop(journal.attempt, None)
        self._writer.submit(self._spool_and_tell, journal, record)

    def give_up(self, claim: Claim, outcome: Outcome, reason: str, *, journal: Journal | None) -> None:
        """Tells at once that a claim ended without a value; then its run is ended, and keeps what was sent.

        As the worker leaves a checkpoint that is still on its way goes first, for whoever claims the slot next.
        """
        if journal is None:
            self._give_up(claim, outcome, reason)
        elif outcome == "stopped" and self._stop.is_set() and journal.files:
            self._ended[journal.attempt] = journal
            self._training.pop(journal.attempt, None)
            self._bearers.submit(self._hand_back, journal, reason)
        else:
            ended = self._give_up(claim, outcome, reason)
            self._training.pop(journal.attempt, None)
            self._bearers.submit(self._runs.end, journal, ended, reason)

    def let_go(self, claim: Claim, reason: str) -> None:
        """Queues a claim again and does nothing else, from another thread. Raises Untold where the database is away."""
        with suppress(LateTell):
            self._studies.give_up(claim, outcome="stopped", reason=reason)

    def abandon(self, reason: str) -> None:
        """Lets go of what is not told yet, for a worker that cannot wait any longer. Raises Untold."""
        for journal in list(self._ended.values()):
            self.let_go(journal.claim, reason)

    def close(self) -> None:
        """Returns once all is told; after `stop` was set that takes no longer than MLflow's answers."""
        self._writer.shutdown()
        self._bearers.shutdown()
        self._closed.set()
        self._wake()
        for thread in self._threads:
            thread.join()

    def _wake(self) -> None:
        with self._changed:
            self._hurry = True
            self._changed.notify_all()

    def _send_all(self) -> None:
        while not self._closed.is_set():
            with self._changed:
                self._changed.wait_for(lambda: self._hurry, timeout=_EVERY_S)
                self._hurry = False
            for attempt, journal in list(self._training.items()):
                with journal.sending:
                    if attempt in self._training:
                        self._send_news(journal)

    def _heed_all(self) -> None:
        """Ends what is not told yet in sweeps that were cancelled, or paused at once: MLflow may be away for long."""
        heeded: set[int] = set()
        while not self._closed.wait(_EVERY_S):
            now, ended = time.monotonic(), list(self._ended.values())
            waiting = [one for one in ended if one.attempt not in heeded and now - one.ended_at > _HEEDS_AFTER_S]
            for sweep_id in {journal.claim.sweep for journal in waiting}:
                try:
                    interruption = interruption_by(self._store.wanted(sweep_id))
                except Exception as error:
                    _log.warning("nobody to ask", extra={"action": "nobody_to_ask", "reason": str(error)})
                    continue
                for journal in waiting:
                    if interruption is not None and journal.claim.sweep == sweep_id:
                        heeded.add(journal.attempt)
                        self._give_up(journal.claim, interruption.outcome, interruption.reason)

    def _send_news(self, journal: Journal) -> None:
        try:
            self._runs.send(journal, journal.points)
        except Unavailable:  # the worker leaves
            pass
        except Exception:  # at its end it is tried again, and is the attempt's own misfortune
            _log.warning("not sent", exc_info=True, extra=self.facts(journal.claim) | {"action": "not_sent"})
            self._training.pop(journal.attempt, None)

    def _spool_and_tell(self, journal: Journal, record: Record) -> None:
        held: Record | None = record
        if record.outcome == "complete":
            try:
                self._spool.keep(journal, record)
                held, journal.points = None, []
            except Exception as error:  # it is told as any other, unless the worker dies before
                facts = self.facts(journal.claim) | {"action": "not_spooled", "reason": str(error)}
                # A disk that is full is nothing to trace, and the log may be on it.
                _log.warning("not spooled", exc_info=not isinstance(error, OSError), extra=facts)
        self._bearers.submit(self._tell, journal, held)

    def _tell(self, journal: Journal, held: Record | None) -> None:
        claim = journal.claim
        outcome: Outcome | None
        try:
            record = held or self._spool.read(journal)
            outcome, reason = record.outcome, record.reason
            with journal.sending:
                self._tell_record(journal, record)
        except (LateTell, Untold, Unavailable) as error:
            reason = str(error)
            outcome = self._give_up(claim, "stopped" if self._stop.is_set() else "lost", reason)
        except Exception as error:
            _log.exception("trial failed", extra=self.facts(claim) | {"action": "trial_failed"})
            reason = f"{type(error).__name__}: {error}"
            outcome = self._give_up(claim, "failed", reason)
        else:
            _log.info("trial told", extra=self.facts(claim) | {"outcome": outcome, "value": record.value})
        with self._changed:
            self._last_took_s = time.monotonic() - journal.ended_at
            del self._ended[journal.attempt]
            self._changed.notify_all()
        if outcome not in ("stopped", "lost", None):
            self._spool.forget(journal)
        self._runs.end(journal, outcome, reason)

    def _tell_record(self, journal: Journal, record: Record) -> None:
        journal.let_go(journal.files)
        run_id = self._runs.send(journal, record.points)
        if record.files:
            self._tracking.add_artifacts(run_id, record.files)
        if record.value is not None:
            self._studies.complete(journal.claim, value=record.value, replicates=record.replicates)
        else:
            self._studies.give_up(journal.claim, outcome=record.outcome, reason=str(record.reason))

    def _hand_back(self, journal: Journal, reason: str) -> None:
        try:
            with journal.sending:
                self._runs.send(journal, journal.points)
        except Exception as error:  # who follows begins at an earlier checkpoint, or anew
            _log.warning("not sent", extra=self.facts(journal.claim) | {"action": "not_sent", "reason": str(error)})
        ended = self._give_up(journal.claim, "stopped", reason)
        del self._ended[journal.attempt]
        self._runs.end(journal, ended, reason)

    def _give_up(self, claim: Claim, outcome: Outcome, reason: str) -> Outcome | None:
        """How the claim ended in the queue; None where somebody else ended it, or the database did not answer."""
        try:
            self._studies.give_up(claim, outcome=outcome, reason=reason)
        except LateTell:
            _log.info("ended before", extra=self.facts(claim) | {"action": "ended_before", "reason": reason})
            return None
        except Exception:  # it bears our name, and is queued again by whoever looks after this
            _log.warning("trial let go", exc_info=True, extra=self.facts(claim) | {"action": "trial_let_go"})
            return None
        _log.info("trial ended", extra=self.facts(claim) | {"outcome": outcome, "reason": reason})
        return outcome

    def facts(self, claim: Claim) -> dict[str, object]:
        """What a line of the log says of an attempt."""
        return facts(claim, worker=self._worker)
