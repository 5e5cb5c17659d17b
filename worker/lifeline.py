"""A worker's signs of life, from a thread of their own so that no training delays them."""

import logging
import threading

from sweep.errors import DatabaseAway
from sweep.store import Store

_log = logging.getLogger(__name__)


class Lifeline:
    """Beats while its block runs, and signs the worker off at its end."""

    def __init__(self, store: Store, *, worker: str, interval_s: float) -> None:
        """One statement every `interval_s` seconds, whatever the worker holds."""
        self._store, self._worker, self._interval_s = store, worker, interval_s
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._beat, name="lifeline", daemon=True)

    def __enter__(self) -> "Lifeline":
        """The first beat is given before the block begins: nothing is claimed by a worker that nobody knows."""
        self._store.beat(self._worker)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Signs off, so that what the worker may still hold is taken back at once."""
        self._ended.set()
        self._thread.join()
        try:
            self._store.sign_off(self._worker)
        except DatabaseAway as error:  # nobody waits for its beats any longer than for a dead worker's
            facts = {"action": "no_sign_off", "worker": self._worker, "reason": str(error)}
            _log.warning("not signed off", extra=facts)

    def _beat(self) -> None:
        while not self._ended.wait(self._interval_s):
            try:
                self._store.beat(self._worker)
            except DatabaseAway as error:
                facts = {"action": "no_heartbeat", "worker": self._worker, "reason": str(error)}
                _log.warning("no heartbeat", extra=facts)
            except Exception:  # a database that is away for a while must not end the signs of life for good
                _log.warning("no heartbeat", exc_info=True, extra={"action": "no_heartbeat", "worker": self._worker})
