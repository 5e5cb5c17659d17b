"""A worker or an API in a process of its own, as chaos wants it: its clock wrong, its leases short, or dead at a place.

It is forked from a process that has imported everything, so that a hundred of them start within seconds.
"""

import os
import signal
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Literal

import uvicorn

import service.app
import sweep.reconcile
import worker.lifeline
import worker.run
from sweep.reconcile import Reconciler
from sweep.store import Store
from sweep.studies import Studies
from sweep.tracking import Tracking
from sweep.trials import Trials
from worker.observation import Observation
from worker.training.record import EpochRecord

PLACES: dict[str, tuple[Any, str]] = {
    "before the first heartbeat": (worker.lifeline.Lifeline, "__enter__"),
    "while it lays slots": (Trials, "add"),
    "after a claim, before it is named": (Trials, "take"),
    "after its run began": (Tracking, "start"),
    "after it took a lost trial back": (Studies, "give_up_lost"),
    "after all is recorded, before it is told": (Tracking, "add_artifacts"),
    "after a trial is told, before its run ends": (Trials, "tell"),
    "while it closes a sweep": (Reconciler, "_end_runs"),
    "after the summary, before the sweep is closed": (sweep.reconcile, "write_summary"),
}
"""Where a worker can be told to die: right after the call, which was not in vain; the first one before it.

In an order in which each of one sweep's workers comes to its place: one takes back what the one before it held.
"""
Poison = Literal["exception", "metric"]
TAKEN = "after a sweep is stored, before it is answered"
_OF_THE_API: dict[str, tuple[Any, str]] = {TAKEN: (Store, "add_once")}
_CLOCKS = ("mlflow", "optuna", "service", "sweep", "worker")


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """What one process is to be."""

    environment: Mapping[str, str]
    log: Path
    port: int | None = None
    """The API's; None: a worker."""
    dies: str | None = None
    """At which of the places it is killed."""
    poison: Poison | None = None
    """What is wrong with the trials of odd numbers."""
    clock_s: float = 0.0
    """How far its clock is ahead."""
    lease_s: float | None = None
    """How long a reconciler's lease holds, where two minutes are too long for a test."""


def act(part: Part) -> None:
    """Is that part until it ends or is killed."""
    with part.log.open("ab", buffering=0) as log:
        for stream in (sys.stdout, sys.stderr):
            os.dup2(log.fileno(), stream.fileno())
    for name in [name for name in os.environ if name.startswith("EVENHAND_")]:
        del os.environ[name]
    os.environ.update(part.environment)
    if part.lease_s is not None:
        sweep.reconcile._LEASE_S = part.lease_s
    if part.dies is not None:
        _die_at(*(PLACES | _OF_THE_API)[part.dies], before=part.dies.startswith("before"))
    if part.poison is not None:
        _poison(part.poison)
    if part.clock_s:
        _set_clock(part.clock_s)
    if part.port is None:
        worker.run.main()
    else:
        uvicorn.run(service.app.create_app(), host="127.0.0.1", port=part.port, access_log=False)


def _die_at(owner: Any, name: str, *, before: bool) -> None:
    kept: Callable[..., object] = getattr(owner, name)

    def deadly(*args: Any, **kwargs: Any) -> object:
        answer = kept(*args, **kwargs) if not before else None
        if answer or answer is None:
            os.kill(os.getpid(), signal.SIGKILL)
        return answer

    setattr(owner, name, deadly)


def _poison(poison: Poison) -> None:
    add = Observation.add

    def poisoned(self: Observation, records: Sequence[EpochRecord]) -> dict[str, float]:
        if int(self.title.rpartition("#")[2]) % 2:
            if poison == "exception":
                raise RuntimeError("It is poisoned.")
            self._objective = "no such metric"
        return add(self, records)

    Observation.add = poisoned  # type: ignore[method-assign]


def _set_clock(ahead_s: float) -> None:
    """Puts every clock with a date ahead that Python code of ours, Optuna's or MLflow's reads."""
    now, now_ns = time.time, time.time_ns

    class Ahead(datetime):
        @classmethod
        def now(cls, tz: Any = None) -> datetime:  # type: ignore[override]
            return datetime.now(tz) + timedelta(seconds=ahead_s)

    time.time = lambda: now() + ahead_s
    time.time_ns = lambda: now_ns() + int(ahead_s * 1e9)
    for name, module in list(sys.modules.items()):
        if name.partition(".")[0] in _CLOCKS and vars(module).get("datetime") is datetime:
            vars(module)["datetime"] = Ahead
