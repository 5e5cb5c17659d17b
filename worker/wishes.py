"""What others want of a worker in the midst of a batch: that it leaves, or gives up a sweep."""

import logging
import threading
import time

from sweep.slots import Outcome
from sweep.store import Store, Sweep, Wanted

_LOOK_EVERY_S = 1.0

_log = logging.getLogger(__name__)


class Interrupted(Exception):
    """Raised inside a batch that is to end now: the worker leaves, or the sweep was cancelled."""

    def __init__(self, outcome: Outcome, reason: str) -> None:
        """`outcome` and `reason` are told of every attempt that is still in training."""
        self.outcome: Outcome = outcome
        self.reason = reason
        super().__init__(reason)


class Wishes:
    """Looked up between two steps, as often as it is worth."""

    def __init__(self, sweep: Sweep, store: Store, *, worker: str, stop: threading.Event) -> None:
        """`stop` is set when the worker is to leave."""
        self._wanted: Wanted = "run"
        self._sweep, self._store, self._worker, self._stop = sweep, store, worker, stop
        self._looked_at = 0.0

    @property
    def takes_more(self) -> bool:
        """False while a batch is to end in peace and to begin nothing new."""
        return self._wanted == "run" and not self._stop.is_set()

    def heed(self) -> None:
        """Goes on where nobody wants anything else at once. While the database is away the training waits with it.

        Raises:
            Interrupted: where the sweep was cancelled, or paused without waiting for its trials.
        """
        now = time.monotonic()
        if now - self._looked_at > _LOOK_EVERY_S:
            self._looked_at = now
            try:
                self._wanted = self._store.wanted(self._sweep.id)
            except Exception as error:
                facts = {
                    "action": "nobody_to_ask",
                    "sweep": self._sweep.id,
                    "worker": self._worker,
                    "reason": str(error),
                }
                _log.warning("nobody to ask", extra=facts)
            if (interruption := interruption_by(self._wanted)) is not None:
                raise interruption


def interruption_by(wanted: Wanted) -> Interrupted | None:
    """How what is wanted of a sweep ends its trials at once; None where it does not."""
    if wanted == "cancel":
        return Interrupted("cancelled", "The sweep was cancelled.")
    if wanted == "pause_now":
        return Interrupted("stopped", "The sweep was paused; the trial is tried again when it goes on.")
    return None
