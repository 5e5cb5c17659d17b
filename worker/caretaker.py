"""Looks after sweeps while a worker trains: to close one MLflow is asked, and no training waits for that."""

import logging
import threading

from sweep.reconcile import Reconciler

_EVERY_S = 3.0
_log = logging.getLogger(__name__)


class Caretaker:
    """Reconciles beside its block, which holds trials: none is taken from it."""

    def __init__(self, reconciler: Reconciler) -> None:
        """Takes the worker's own reconciler."""
        self._reconciler = reconciler
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
        while not self._ended.wait(_EVERY_S):
            try:
                self._reconciler.run(busy=True)
            except Exception as error:
                facts = {"action": "nothing_looked_after", "reason": str(error)}
                _log.warning("nothing looked after", extra=facts)
