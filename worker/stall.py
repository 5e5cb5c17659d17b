"""A worker whose training hangs ends itself: while it gives signs of life nobody else would take its trials."""

import logging
import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

_LOOKS = 100
"""In the time that a step may take. They are counted, rather than seconds: a process that is stopped does not look."""
_log = logging.getLogger(__name__)


class Stall:
    """While its block runs: ends the process where a step of an epoch does not end (a dead mount, a hanging GPU)."""

    def __init__(self, *, worker: str, limit_s: float) -> None:
        """A step may take `limit_s` seconds."""
        self._worker, self._limit_s = worker, limit_s
        self._step: object | None = None
        """Another one for each step; None outside of them."""
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="stall", daemon=True)

    def __enter__(self) -> "Stall":
        """Starts to watch."""
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Nothing is trained any more."""
        self._ended.set()

    @contextmanager
    def epoch(self) -> Iterator[None]:
        """An epoch in training: what goes on in its block is steps, with what is `between` them."""
        self._step = object()
        try:
            yield
        finally:
            self._step = None

    def between(self, heed: Callable[[], None]) -> Callable[[], None]:
        """What is called between two steps, which may wait for the database as long as it likes."""

        def heed_and_go_on() -> None:
            is_in_epoch, self._step = self._step is not None, None
            heed()
            self._step = object() if is_in_epoch else None

        return heed_and_go_on

    def _watch(self) -> None:
        seen, looks = None, 0
        while not self._ended.wait(self._limit_s / _LOOKS):
            looks = looks + 1 if self._step is seen else 0
            seen = self._step
            if seen is not None and looks >= _LOOKS:
                facts = {"action": "stalled", "worker": self._worker, "limit_s": self._limit_s}
                _log.error("stalled", extra=facts)
                os._exit(1)
