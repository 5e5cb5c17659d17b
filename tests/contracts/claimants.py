"""Processes that work on one database at the same moment; they are forked from one that has imported everything."""

import contextlib
import multiprocessing
import os
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from threading import Barrier
from typing import TypeVar

from sweep.database import engine_for, exclusive
from sweep.errors import LateTell, Untold
from sweep.parts import Parts
from sweep.patience import Patience
from sweep.reconcile import Reconciler
from sweep.settings import Settings
from sweep.slots import has_ended, progress
from sweep.store import Store, Sweep
from sweep.studies import Studies
from sweep.tracking import Tracking
from worker.lifeline import Lifeline

NOBODY = "http://127.0.0.1:9"
"""Where no MLflow is, so that sweeps stay open."""
_PATIENCE_S = 60
_T = TypeVar("_T")
_gate: list[Barrier] = []
"""Of a child: what it waits at until all are there."""


def at_once(work: Callable[..., _T], arguments: Sequence[tuple[object, ...]]) -> list[_T]:
    """What `work` answers in as many processes as there are tuples of arguments."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["tests.contracts.claimants"])
    barrier = context.Barrier(len(arguments), timeout=_PATIENCE_S)
    with ProcessPoolExecutor(len(arguments), mp_context=context, initializer=_stand_at, initargs=(barrier,)) as pool:
        return [future.result(2 * _PATIENCE_S) for future in [pool.submit(work, *each) for each in arguments]]


def claim(url: str, sweep_id: str, worker: str, width: int) -> list[int]:
    """The numbers of one claim."""
    return [claim.number for claim in _open(url).claim(_sweep(url, sweep_id), worker=worker, width=width)]


def claim_and_tell(url: str, sweep_id: str, worker: str, width: int) -> list[int]:
    """The numbers that were claimed and told until nothing waited."""
    studies, sweep, told = _open(url), _sweep(url, sweep_id), []
    while claims := studies.claim(sweep, worker=worker, width=width):
        for one in claims:
            studies.complete(one, value=one.params["alpha"], replicates=[])
            told.append(one.number)
    return told


def toil(url: str, worker: str, enough: str) -> list[tuple[str, int]]:
    """What was told, by sweep and number, by a process that works as a worker does until all is done."""
    os.environ.update(Settings().mlflow_environment)
    stop = threading.Event()
    with exclusive(url):
        studies = Studies(url, max_retry=2, patience=Patience(stop))
    store = Store(engine_for(url), Patience(stop))
    reconciler = Reconciler(store, studies, Tracking(NOBODY, stop=_at_once()), holder=worker, grace_s=2)
    told: list[tuple[str, int]] = []
    with Lifeline(store, worker=worker, interval_s=0.1):
        deadline, looked_at = time.monotonic() + _PATIENCE_S, 0.0
        while (not Path(enough).exists() or _is_open(store, studies)) and time.monotonic() < deadline:
            batch: list[tuple[str, int]] = []
            with contextlib.suppress(LateTell, Untold):
                batch = _one_batch(store, studies, worker)
            told += batch
            if not batch or time.monotonic() - looked_at > 1:
                looked_at = time.monotonic()
                reconciler.run()
    return told


def _one_batch(store: Store, studies: Studies, worker: str) -> list[tuple[str, int]]:
    for sweep in store.open_sweeps():
        if claims := studies.claim(sweep, worker=worker, width=2):
            for claim in claims:
                studies.note_run(claim, f"run-{claim.number}")
                studies.complete(claim, value=claim.params["alpha"], replicates=[])
            return [(sweep.id, claim.number) for claim in claims]
    return []


def _is_open(store: Store, studies: Studies) -> bool:
    return any(not has_ended(progress(studies.slots(sweep))) for sweep in store.open_sweeps())


def _at_once() -> threading.Event:
    once = threading.Event()
    once.set()
    return once


def connect(url: str, folder: str) -> bool:
    """True where a process came up on the database and found it usable."""
    settings = Settings(database_url=url, data_dir=Path(folder))
    _gate[0].wait()
    parts = Parts.connect(settings, holder="ann", stop=threading.Event())
    return parts.store.open_sweeps() == []


def _stand_at(gate: Barrier) -> None:
    _gate.append(gate)


def _open(url: str) -> Studies:
    with exclusive(url):
        studies = Studies(url, max_retry=2)
    _gate[0].wait()
    return studies


def _sweep(url: str, sweep_id: str) -> Sweep:
    return Store(engine_for(url)).get(sweep_id)
