"""A thread that looks after sweeps again and again, beside whatever else its process does."""

import logging
import threading

from .reconcile import Reconciler

_log = logging.getLogger(__name__)


class Caretaker:
    """Reconciles while its block runs."""

    def __init__(self, reconciler: Reconciler, *, every_s: float, busy: bool = False) -> None:
        """A process that holds trials meanwhile is `busy`: none is taken from it."""
        self._reconciler, self._every_s, self._busy = reconciler, every_s, busy
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._look_after, name="caretaker", daemon=True)

    def __enter__(self) -> "Caretaker":
        """Starts."""
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Waits for nothing: a look that is cut off is done again by others."""
        self._ended.set()

    def _look_after(self) -> None:
        while not self._ended.wait(self._every_s):
            try:
                self._reconciler.run(busy=self._busy)
            except Exception:  # tried again in a moment
                _log.warning("reconciler stumbled", exc_info=True, extra={"action": "reconciler_stumbled"})
