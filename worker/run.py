"""The worker's loop: claim, train, record, tell, until it is asked to leave."""

import logging
import os
import secrets
import signal
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

import torch

from sweep.disk import shortage
from sweep.logs import configure_logs
from sweep.parts import Parts
from sweep.settings import Settings

from .batch import Batch
from .lifeline import Lifeline
from .pace import Paces
from .shelf import Shelf

_IDLE_S = 0.5
"""Between two looks at an empty queue."""
_RECONCILE_EVERY_S = 3.0
_log = logging.getLogger(__name__)


def main() -> None:
    """Runs one worker on the settings of the environment."""
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
    work(Parts.connect(settings, holder=name, stop=stop), settings, name=name, stop=stop)


def work(parts: Parts, settings: Settings, *, name: str, stop: threading.Event) -> None:
    """Works until `stop` is set, which ends the batch at hand after its epoch and queues its trials again."""
    gpus = torch.cuda.device_count()
    device = torch.device("cuda", settings.gpu % gpus) if gpus else torch.device("cpu")
    shelf, paces = Shelf(parts.datasets, device), Paces(settings.data_dir / "paces")
    _log.info("worker ready", extra={"action": "worker_ready", "worker": name, "device": str(device)})
    with Lifeline(parts.store, worker=name, interval_s=settings.heartbeat_interval_s):
        looked_at, has_space = 0.0, True
        while not stop.is_set():
            try:
                has_space = _has_space(settings, before=has_space)
                busy = has_space and _one_batch(parts, settings, shelf, paces, name=name, stop=stop)
                if time.monotonic() - looked_at > (_RECONCILE_EVERY_S if busy else _IDLE_S):
                    looked_at = time.monotonic()
                    parts.reconciler.run()
            except Exception:  # a store that is away costs time, never the worker
                _log.exception("worker stumbled", extra={"action": "worker_stumbled", "worker": name})
                busy = False
            if not busy:
                stop.wait(_IDLE_S)


def _has_space(settings: Settings, *, before: bool) -> bool:
    """Whether there is disk for more; a change for the worse is said once. What waits stays in the queue."""
    reason = shortage(settings)
    if reason and before:
        _log.warning("no space", extra={"action": "no_space", "reason": reason})
    return reason is None


def _one_batch(
    parts: Parts, settings: Settings, shelf: Shelf, paces: Paces, *, name: str, stop: threading.Event
) -> bool:
    """Runs one batch of the oldest sweep that has work, beginning with one claim of it; False where none has."""
    for sweep in parts.store.open_sweeps():
        if sweep.wanted != "run":
            continue
        claims = parts.studies.claim(sweep, worker=name, width=1)
        if claims:
            batch = Batch(sweep, claims, parts=parts, settings=settings, worker=name, paces=paces, stop=stop)
            with _leaves_in_time(batch, parts, settings, name=name, stop=stop):
                batch.run(shelf)
            return True
    return False


@contextmanager
def _leaves_in_time(
    batch: Batch, parts: Parts, settings: Settings, *, name: str, stop: threading.Event
) -> Iterator[None]:
    """Ends the process once it was asked to leave and the epoch at hand has taken longer than the drain timeout."""
    ended = threading.Event()

    def watch() -> None:
        while not ended.wait(_IDLE_S):
            if stop.is_set() and not ended.wait(settings.drain_timeout_s):
                try:
                    batch.abandon("The worker was asked to leave in the middle of an epoch; the trial is tried again.")
                    parts.store.sign_off(name)
                finally:  # whatever is away
                    os._exit(0)

    watcher = threading.Thread(target=watch, name="drain", daemon=True)
    watcher.start()
    try:
        yield
    finally:
        ended.set()
        watcher.join()
