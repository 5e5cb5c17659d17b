"""Workers and APIs on one database, in real processes that may be killed, stopped and started again."""

import json
import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import count
from multiprocessing.process import BaseProcess
from pathlib import Path
from random import Random

import httpx

from sweep.parts import Parts
from sweep.problems import parse_sweep
from sweep.resolve import resolve
from sweep.settings import Settings
from sweep.slots import Slot
from sweep.store import DatasetMark, Sweep

from ..service.running import free_ports, wait_for
from .actor import Part, Poison, act

BODY = {
    "dataset": "toy2d",
    "imbalance": {"profile": "exponential", "ratios": [5], "n_max": 60},
    "replicates": 1,
    "training": {"epochs": 3},
    "sampler": "random",
}
"""A sweep whose trials take a second."""
GRACE_S = 3


@dataclass
class Plant:
    """A data folder and a database; what works on them are the processes that were started and live."""

    folder: Path
    database: str
    mlflow_url: str
    dice: Random
    lease_s: float | None = 10.0
    """A killed reconciler holds the others up for so long."""
    grace_s: int = GRACE_S
    """Of the workers that are started from now on."""
    kills: int = 0
    living: list[BaseProcess] = field(default_factory=list)
    clients: list[httpx.Client] = field(default_factory=list)
    _numbers: "count[int]" = field(default_factory=count)

    def __post_init__(self) -> None:
        self._environment = {
            "EVENHAND_DATA_DIR": str(self.folder),
            "EVENHAND_DATABASE_URL": self.database,
            "EVENHAND_HEARTBEAT_INTERVAL_S": "1",
            "EVENHAND_HEARTBEAT_GRACE_S": str(GRACE_S),
            "EVENHAND_MAX_RETRY": "100",
            "EVENHAND_WIDTH": "2",
            "MLFLOW_TRACKING_URI": self.mlflow_url,
        }
        settings = Settings(
            data_dir=self.folder, database_url=self.database, MLFLOW_TRACKING_URI=self.mlflow_url, max_retry=100
        )
        self.parts = Parts.connect(settings, holder="onlooker", stop=threading.Event())

    def worker(
        self, *, dies: str | None = None, clock_s: float = 0.0, mlflow_url: str | None = None,
        folder: Path | None = None, poison: Poison | None = None,
    ) -> BaseProcess:  # fmt: skip
        """A worker, just started; in a folder of its own it is as on another machine."""
        away = {"MLFLOW_TRACKING_URI": mlflow_url} if mlflow_url else {}
        elsewhere = {"EVENHAND_DATA_DIR": str(folder)} if folder else {}
        grace = {"EVENHAND_HEARTBEAT_GRACE_S": str(self.grace_s)}
        return self._start(
            dies=dies, clock_s=clock_s, poison=poison, environment=self._environment | grace | away | elsewhere
        )

    def api(self, port: int | None = None, *, dies: str | None = None, is_awaited: bool = True) -> httpx.Client:
        """An API, and a client of it once it answers."""
        port = port or free_ports()[0]
        process = self._start(port=port, dies=dies, environment=self._environment)
        client = httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=30)
        self.clients.append(client)
        if is_awaited:
            wait_for(lambda: not process.is_alive() or answers(client), within_s=60, what="an API")
        return client

    def _start(self, **fields: object) -> BaseProcess:
        log = self.folder / f"{next(self._numbers):03}.log"
        context = multiprocessing.get_context("forkserver")
        context.set_forkserver_preload([act.__module__])
        part = Part(log=log, lease_s=self.lease_s, **fields)  # type: ignore[arg-type]
        process = context.Process(target=act, args=(part,), name=log.stem, daemon=True)
        process.start()
        self.living.append(process)
        return process

    def kill(self, process: BaseProcess) -> None:
        """Kills one as an accident does."""
        assert process.pid is not None
        os.kill(process.pid, signal.SIGKILL)
        self.buried(process)

    def buried(self, process: BaseProcess, *, within_s: float = 60) -> None:
        """Returns once a process was killed, by whomever."""
        process.join(within_s)
        assert process.exitcode == -signal.SIGKILL, f"{process.name}: {process.exitcode}\n{self.log(process)}"
        self.living.remove(process)
        self.kills += 1

    def kill_all(self) -> None:
        """Kills everything that runs, in any order."""
        for process in self.dice.sample(self.living, len(self.living)):
            self.kill(process)

    def log(self, process: BaseProcess) -> str:
        """What a process has printed."""
        path = self.folder / f"{process.name}.log"
        return path.read_text(errors="replace") if path.exists() else ""

    def close(self) -> None:
        """Leaves no process behind."""
        for process in self.living:
            process.kill()
            process.join(20)
        for client in self.clients:
            client.close()
        self.parts.studies.close()

    def submit(self, **fields: object) -> Sweep:
        """A small sweep with the given fields changed, stored as the API does; its slots are not laid yet."""
        spec = parse_sweep(json.dumps({**BODY, **fields}))
        info = self.parts.datasets.info(spec.dataset.name, options=spec.dataset.params)
        return self.parts.store.add(resolve(spec, info), DatasetMark(classes=info.classes, content=info.content))

    def slots(self, sweep: Sweep) -> list[Slot]:
        """The sweep's slots as they are now."""
        return self.parts.studies.slots(self.parts.store.get(sweep.id))

    def has_ended(self, *sweeps: Sweep) -> bool:
        """Whether all of them are closed."""
        return all(self.parts.store.get(sweep.id).ended_at for sweep in sweeps)

    def await_end(self, sweeps: Sequence[Sweep], *, within_s: float = 90) -> None:
        """Returns once all of them are closed."""

        def told() -> str:
            return "; ".join(str([slot.state for slot in self.slots(sweep)]) for sweep in sweeps)

        try:
            wait_for(lambda: self.has_ended(*sweeps), within_s=within_s, what="the end")
        except AssertionError as error:
            raise AssertionError(f"{error}: {told()}; the logs are in {self.folder}") from error

    def await_slot(self, sweep: Sweep, look: Callable[[Slot], bool], *, what: str) -> Slot:
        """The first slot of which something is true, once it is."""
        found = wait_for(lambda: [slot for slot in self.slots(sweep) if look(slot)], within_s=60, what=what)
        return found[0]


def answers(client: httpx.Client) -> bool:
    """Whether an API is there."""
    try:
        return client.get("/healthz").status_code == 200
    except httpx.TransportError:
        return False


def in_training(slot: Slot) -> bool:
    """Whether the slot's run has begun and not ended."""
    return slot.state == "running" and slot.last is not None and slot.last.run_id is not None
