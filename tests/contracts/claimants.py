"""Processes that work on one database at the same moment; they are forked from one that has imported everything."""

import multiprocessing
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from threading import Barrier
from typing import TypeVar

from sweep.database import engine_for, exclusive
from sweep.parts import Parts
from sweep.settings import Settings
from sweep.store import Store, Sweep
from sweep.studies import Studies

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
        return [future.result(_PATIENCE_S) for future in [pool.submit(work, *each) for each in arguments]]


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
