"""A thread that sends metrics in batches, off the training's path."""

import threading
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

_MAX_BATCH = 1_000
"""MLflow takes no more metrics in a call."""
_EVERY_S = 1.0
"""How long metrics gather before they are sent: MLflow's rate grows with the batch."""


@dataclass(frozen=True, slots=True)
class Point:
    """One value of one metric."""

    key: str
    value: float
    step: int
    timestamp_ms: int


class MetricWriter:
    """Gathers points by run and sends them, in order, with `send(run_id, points)` from its own thread.

    `send` is called with at most 1,000 points and returns once they are safe; it is sent synchronously since MLflow's
    own asynchronous logging loses the last batch when a process ends.
    """

    def __init__(self, send: Callable[[str, Sequence[Point]], None]) -> None:
        """Starts the thread; it ends with the process."""
        self._send = send
        self._gathered: defaultdict[str, list[Point]] = defaultdict(list)
        self._sending: frozenset[str] = frozenset()
        self._hurry = 0
        self._failures: dict[str, Exception] = {}
        self._changed = threading.Condition()
        threading.Thread(target=self._run, name="metric-writer", daemon=True).start()

    def put(self, run_id: str, values: Mapping[str, float], *, step: int, timestamp_ms: int) -> None:
        """Takes the values of one step; returns at once."""
        points = [Point(key, value, step, timestamp_ms) for key, value in values.items()]
        with self._changed:
            self._gathered[run_id] += points

    def flush(self, run_id: str) -> None:
        """Returns once every point of the run put so far is sent. Raises what `send` raised of this run, once."""
        with self._changed:
            self._hurry += 1
            self._changed.notify_all()
            self._changed.wait_for(lambda: run_id not in self._gathered and run_id not in self._sending)
            self._hurry -= 1
            failure = self._failures.pop(run_id, None)
        if failure is not None:
            raise failure

    def _run(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._hurry and self._gathered, timeout=_EVERY_S)
                gathered, self._gathered = self._gathered, defaultdict(list)
                self._sending = frozenset(gathered)
            for run_id, points in gathered.items():
                self._send_all(run_id, points)
            with self._changed:
                self._sending = frozenset()
                self._changed.notify_all()

    def _send_all(self, run_id: str, points: Sequence[Point]) -> None:
        try:
            for start in range(0, len(points), _MAX_BATCH):
                self._send(run_id, points[start : start + _MAX_BATCH])
        except Exception as error:  # it belongs to whoever flushes this run, neither to this thread nor to another run
            self._failures.setdefault(run_id, error)
