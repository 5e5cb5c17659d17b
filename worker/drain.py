"""A worker that was asked to leave is gone in time, whatever it is in the midst of."""

import logging
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol

from sweep.errors import DatabaseAway, Untold
from sweep.store import Store

_REASON = "The worker was asked to leave and did not come to an end in time; the trial is tried again."
_log = logging.getLogger(__name__)


class _Abandoned(Protocol):
    def abandon(self, reason: str) -> None: ...


class Drain:
    """While its block runs: ends the process once leaving takes longer than the drain timeout.

    What is held then is queued again first, that of the innermost block at first, as long as the database answers.
    """

    def __init__(self, store: Store, *, worker: str, timeout_s: float, stop: threading.Event) -> None:
        """`stop` is set when the worker is asked to leave."""
        self._store, self._worker, self._timeout_s, self._stop = store, worker, timeout_s, stop
        self._held: list[_Abandoned] = []
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="drain", daemon=True)

    def __enter__(self) -> "Drain":
        """Starts to watch."""
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        """The worker leaves by itself."""
        self._ended.set()

    @contextmanager
    def holding(self, held: _Abandoned) -> Iterator[None]:
        """What is to be abandoned where the process ends within this block."""
        self._held.append(held)
        try:
            yield
        finally:
            self._held.remove(held)

    def _watch(self) -> None:
        self._stop.wait()
        if self._ended.wait(self._timeout_s):
            return
        try:
            for held in reversed(self._held):  # a trial that ends meanwhile goes from the batch to the courier
                held.abandon(_REASON)
            self._store.sign_off(self._worker)
        except (DatabaseAway, Untold) as error:  # what is held counts as lost after the grace; each try takes seconds
            facts = {"action": "not_queued_again", "worker": self._worker, "reason": str(error)}
            _log.warning("not queued again", extra=facts)
        finally:  # whatever goes wrong
            os._exit(0)
