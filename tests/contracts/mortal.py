"""A process on the queue that may die before any of its writes, and an MLflow that is a dictionary."""

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from itertools import count
from typing import TypeVar, cast

from sqlalchemy import Engine, delete, update

from sweep.clock import moment
from sweep.database import engine_for
from sweep.reconcile import Reconciler
from sweep.resolve import ResolvedSweep
from sweep.store import DatasetMark, Store, Sweep
from sweep.studies import Studies
from sweep.tables import LEASES, SWEEPS, WORKERS
from sweep.tracking import Tracking

from .model import MAX_RETRY

GRACE_S = 3600
_T = TypeVar("_T")


class Killed(BaseException):
    """Raised where a process dies: nobody catches it, as nobody catches SIGKILL.

    What is in a `finally` is done all the same: a lease is given back, as if it had expired meanwhile.
    """


class Ledger:
    """What a reconciler and a worker need of `Tracking`, in memory.

    The subject is the queue, and MLflow has tests of its own: on a real server a run takes a fifth of a second to begin
    and to end, which would be most of an example's time.
    """

    def __init__(self) -> None:
        self.runs: dict[str, dict[str, str]] = {}
        """By experiment, the status of each run."""
        self._numbers = count()

    def experiment(self, sweep: Sweep) -> str:
        self.runs.setdefault(sweep.id, {})
        return sweep.id

    def start(self, experiment_id: str, **_: object) -> str:
        run_id = f"{experiment_id}/{next(self._numbers)}"
        self.runs[experiment_id][run_id] = "RUNNING"
        return run_id

    def end(self, run_id: str, status: str, *, reason: str | None = None) -> None:
        runs = self.runs[run_id.partition("/")[0]]
        if not reason or runs[run_id] == "RUNNING":
            runs[run_id] = status

    def running(self, experiment_id: str) -> list[str]:
        return [run_id for run_id, status in self.runs[experiment_id].items() if status == "RUNNING"]


class Mortal:
    """A process with its own connections to the database."""

    def __init__(self, url: str, ledger: Ledger) -> None:
        self._engine: Engine = engine_for(url)
        self.store, self.studies, self._ledger = Store(self._engine), Studies(url, max_retry=MAX_RETRY), ledger
        self._left: int | None = None
        trials = self.studies._trials
        for method in ("add", "take", "note", "suggest", "tell", "fail"):
            setattr(trials, method, self._counted(getattr(trials, method)))
        for method in ("want", "close", "reopen"):
            setattr(self.store, method, self._counted(getattr(self.store, method)))

    def disconnect(self) -> None:
        self.studies.close()
        self._engine.dispose()

    def reconciler(self, holder: str) -> Reconciler:
        return Reconciler(self.store, self.studies, cast(Tracking, self._ledger), holder=holder, grace_s=GRACE_S)

    def dies(self, work: Callable[[], object], *, before: int | None) -> bool:
        """Does some work; True where the process died before its `before`-th write, counted from 1."""
        self._left = before
        try:
            work()
        except Killed:
            return True
        finally:
            self._left = None
        return False

    def fall_silent(self, worker: str) -> None:
        """Lets a worker's last sign of life be older than the grace."""
        with self._engine.begin() as connection:
            aged = update(WORKERS).where(WORKERS.c.name == worker).values(beat_at=moment(-2 * GRACE_S))
            connection.execute(aged)

    def outlast_the_nameless(self) -> None:
        """Lets this process have known attempts without a worker's name for longer than the grace."""
        for trial_id in self.studies._nameless:
            self.studies._nameless[trial_id] -= 2 * GRACE_S

    def forget_all(self) -> None:
        """Empties our tables; studies are never looked at without their sweep."""
        with self._engine.begin() as connection:
            for table in (SWEEPS, WORKERS, LEASES):
                connection.execute(delete(table))

    def _counted(self, write: Callable[..., _T]) -> Callable[..., _T]:
        def counted(*args: object, **kwargs: object) -> _T:
            if self._left is not None:
                self._left -= 1
                if self._left == 0:
                    raise Killed
            return write(*args, **kwargs)

        return counted


@dataclass
class House:
    """What outlives an example: the processes, and a count of what was done."""

    processes: Mapping[str, Mortal]
    ledger: Ledger
    resolved: Callable[..., ResolvedSweep]
    mark: DatasetMark
    seen: Counter[str] = field(default_factory=Counter)
