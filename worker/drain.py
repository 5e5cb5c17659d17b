"""A worker that was asked to leave is gone in time, whatever it is in the midst of."""

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol

from sweep.store import Store

_REASON = "The worker was asked to leave and did not come to an end in time; the trial is tried again."


class _Abandoned(Protocol):
    def abandon(self, reason: str) -> None: ...


class Drain:
    """While its block runs: ends the process once leaving takes longer than the drain timeout.

    What is held then is queued again first.
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
            for held in list(self._held):
                held.abandon(_REASON)
            self._store.sign_off(self._worker)
        finally:  # whatever is away
            os._exit(0)
