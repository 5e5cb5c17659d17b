"""A thread that looks after sweeps again and again, beside whatever else its process does."""

import logging
import threading

from .reconcile import Reconciler

_log = logging.getLogger(__name__)


class Caretaker:
    """Reconciles while its block runs."""

    def __init__(self, reconciler: Reconciler, *, every_s: float) -> None:
        """Looks every `every_s` seconds, at first after as many."""
        self._reconciler, self._every_s = reconciler, every_s
        self._awake, self._ended = threading.Event(), False
        self._thread = threading.Thread(target=self._look_after, name="caretaker", daemon=True)

    def __enter__(self) -> "Caretaker":
        """Starts."""
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Waits for nothing: a look that is cut off is done again by others."""
        self._ended = True
        self._awake.set()

    def look(self) -> None:
        """Has it look at once, and waits for nothing."""
        self._awake.set()

    def _look_after(self) -> None:
        while True:
            self._awake.wait(self._every_s)
            self._awake.clear()
            if self._ended:
                return
            try:
                self._reconciler.run()
            except Exception:  # tried again in a moment
                _log.warning("reconciler stumbled", exc_info=True, extra={"action": "reconciler_stumbled"})
