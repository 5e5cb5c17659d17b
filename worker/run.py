"""The worker's loop: claim, train, record, tell, until it is asked to leave."""

import logging
import math
import os
import secrets
import signal
import socket
import sys
import threading
from contextlib import closing
from types import FrameType

import torch

from sweep.caretaker import Caretaker
from sweep.disk import shortage
from sweep.errors import EvenhandError
from sweep.logs import configure_logs
from sweep.parts import Parts
from sweep.patience import Patience
from sweep.settings import Settings

from .batch import Batch
from .courier import Courier
from .drain import Drain
from .lifeline import Lifeline
from .pace import Paces
from .shelf import Shelf
from .spool import Spool
from .stall import Stall

_IDLE_S = 0.5
"""Between two looks at an empty queue."""
_RECONCILE_EVERY_S = 2.0
"""From a thread: to close a sweep MLflow is asked, and neither training nor a claim waits for that."""
_log = logging.getLogger(__name__)


def main() -> None:
    """Runs one worker on the settings of the environment, once the database answers."""
    settings = Settings()
    configure_logs(json=settings.log_json)
    torch.set_num_threads(settings.threads)
    stop = threading.Event()

    def leave(signal_number: int, _frame: FrameType | None) -> None:
        _log.info("leaving", extra={"action": "leaving", "signal": signal.Signals(signal_number).name})
        stop.set()

    signal.signal(signal.SIGTERM, leave)
    signal.signal(signal.SIGINT, leave)
    name = f"{socket.gethostname()}-{os.getpid()}-{secrets.token_hex(2)}"
    try:
        parts = Patience(stop).insist(lambda _again: Parts.connect(settings, holder=name, stop=stop))
    except EvenhandError as error:
        _log.error("no start", extra={"action": "no_start", "worker": name, "reason": str(error)})
        sys.exit(1)
    work(parts, settings, name=name, stop=stop)


def work(parts: Parts, settings: Settings, *, name: str, stop: threading.Event) -> None:
    """Works until `stop` is set, which ends the batch at hand after its epoch and queues its trials again."""
    gpus = torch.cuda.device_count()
    device = torch.device("cuda", settings.gpu % gpus) if gpus else torch.device("cpu")
    if gpus:  # streams and recordings are made on the current device, whichever tensors they are for
        torch.cuda.set_device(device)
    shelf, spool = Shelf(parts.datasets, device), Spool(settings.data_dir)
    paces = Paces(settings.data_dir / "paces", graphs=settings.cuda_graphs)
    courier = Courier(parts, spool, worker=name, stop=stop)
    _log.info("worker ready", extra={"action": "worker_ready", "worker": name, "device": str(device)})
    with (
        Drain(parts.store, worker=name, timeout_s=settings.drain_timeout_s, stop=stop) as drain,
        Lifeline(parts.store, worker=name, interval_s=settings.heartbeat_interval_s),
        Stall(worker=name, limit_s=settings.stall_s) as stall,
        Caretaker(parts.reconciler, every_s=_RECONCILE_EVERY_S) as caretaker,
        drain.holding(courier),
        closing(courier),
    ):
        has_space, is_clear = True, False
        while not stop.is_set():
            try:
                has_space = _has_space(settings, before=has_space)
                batch = _next_batch(parts, settings, courier, paces, name=name, stop=stop) if has_space else None
                if batch is not None:
                    is_clear = False
                    with drain.holding(batch):
                        batch.run(shelf, stall)
                else:
                    if not is_clear and courier.is_idle:
                        _give_up_forgotten(parts, name=name)
                        caretaker.look()  # this may have been the last of a sweep
                        is_clear = True
                    spool.clear(parts.store)
            except Exception:  # a store that is away costs time, never the worker
                _log.exception("worker stumbled", extra={"action": "worker_stumbled", "worker": name})
                batch, is_clear = None, False
            if batch is None:
                stop.wait(_IDLE_S)


def _give_up_forgotten(parts: Parts, *, name: str) -> None:
    """Gives up what bears the name of a worker that holds nothing: an error amid a claim or a tell let go of it."""
    for sweep in parts.store.open_sweeps():
        slots = parts.studies.slots(sweep)
        others = {attempt.worker for slot in slots for attempt in slot.attempts if attempt.worker} - {name}
        parts.studies.give_up_lost(slots, workers=others, grace_s=math.inf)


def _has_space(settings: Settings, *, before: bool) -> bool:
    """Whether there is disk for more; a change for the worse is said once. What waits stays in the queue."""
    reason = shortage(settings)
    if reason and before:
        _log.warning("no space", extra={"action": "no_space", "reason": reason})
    return reason is None


def _next_batch(
    parts: Parts, settings: Settings, courier: Courier, paces: Paces, *, name: str, stop: threading.Event
) -> Batch | None:
    """A batch of the oldest sweep that has work, beginning with one claim of it; None where none has."""
    for sweep in parts.store.open_sweeps():
        if sweep.wanted != "run":
            continue
        claims = parts.studies.claim(sweep, worker=name, width=1)
        if claims:
            return Batch(
                sweep, claims, parts=parts, settings=settings, courier=courier, worker=name, paces=paces, stop=stop
            )
    return None
