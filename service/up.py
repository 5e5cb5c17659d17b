"""`evenhand up`: API, MLflow server and workers on one machine and one data folder."""

import contextlib
import fcntl
import socket
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from sweep.settings import Settings

from .client import ApiError, Client
from .launch import worker_environments, worker_processes
from .processes import Group, Process, running

HOST = "127.0.0.1"
_READY_WITHIN_S = 120.0
_LOOK_EVERY_S = 0.2


class UpError(Exception):
    """Raised where the services cannot run; the message names what is in the way and the remedy."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ports:
    """Where API and MLflow listen, on the loopback address."""

    api: int
    mlflow: int

    @property
    def api_url(self) -> str:
        """The API's address."""
        return f"http://{HOST}:{self.api}"

    @property
    def mlflow_url(self) -> str:
        """MLflow's address."""
        return f"http://{HOST}:{self.mlflow}"

    @property
    def mlflow_page(self) -> str:
        """Where a person opens MLflow: without the workflow it shows an empty page of another kind."""
        return f"{self.mlflow_url}/#/experiments?workflowType=machine_learning"

    @classmethod
    def free(cls) -> "Ports":
        """Two ports that nobody listens on now."""
        with socket.socket() as first, socket.socket() as second:
            first.bind((HOST, 0))
            second.bind((HOST, 0))
            return cls(api=first.getsockname()[1], mlflow=second.getsockname()[1])


class Services:
    """The services of one data folder, running within `running()`."""

    def __init__(self, data_dir: Path, ports: Ports, *, workers: int | None, say: Callable[[str, str], None]) -> None:
        """`workers` are as many as were measured quickest, unless given; `say(name, line)` is told what happens."""
        self.data_dir, self.ports, self._asked = data_dir.resolve(), ports, workers
        self._workers: list[Mapping[str, str]] = []
        self._say = say

    @contextlib.contextmanager
    def running(self) -> Iterator[Group]:
        """Starts everything, waits until it is healthy, and stops all of it at the end, whatever happened.

        Raises:
            UpError: where a port or the folder is taken, or a service dies or does not get ready.
            Stopped: on Ctrl-C and SIGTERM.
        """
        with self._folder():
            self._check_ports()
            self._workers = worker_environments(self.data_dir, workers=self._asked, say=self._say)
            group = Group(self._processes(), workers=[f"worker-{n}" for n in range(len(self._workers))])
            with running(group, drain_timeout_s=Settings().drain_timeout_s, say=self._say):
                self._await_health(group)
                yield group

    def watch(self, group: Group, *, once: bool = False) -> None:
        """Starts again what dies, for ever or `once`; raises UpError where API or MLflow dies again and again."""
        while True:
            dead = group.look(self._say, is_healthy=True)
            if dead is not None:
                raise UpError(f"{dead} ends again and again; its log is {self._log(dead)}.")
            if once:
                return
            time.sleep(_LOOK_EVERY_S)

    def _await_health(self, group: Group) -> None:
        deadline = time.monotonic() + _READY_WITHIN_S
        with Client(self.ports.api_url) as client:
            while time.monotonic() < deadline:
                dead = group.look(self._say, is_healthy=False)
                if dead is not None:
                    raise UpError(f"{dead} ended by itself; its log is {self._log(dead)}.")
                with contextlib.suppress(ApiError):
                    if client.readiness()["workers"] >= len(self._workers):
                        return
                time.sleep(_LOOK_EVERY_S)
        raise UpError(f"Not ready within {_READY_WITHIN_S:.0f} s; the logs are in {self.data_dir / 'logs'}.")

    def _processes(self) -> list[Process]:
        environment = self._environment()
        python = sys.executable
        mlflow = [
            python, "-m", "mlflow", "server", "--host", HOST, "--port", str(self.ports.mlflow), "--workers", "1",
            "--backend-store-uri", f"sqlite:///{self.data_dir / 'mlflow.db'}",
            "--artifacts-destination", str(self.data_dir / "artifacts"),
        ]  # fmt: skip
        api = [
            python, "-m", "uvicorn", "--factory", "service.app:create_app", "--host", HOST,
            "--port", str(self.ports.api), "--no-access-log", "--timeout-graceful-shutdown", "2",
        ]  # fmt: skip
        return [
            Process("mlflow", mlflow, environment=environment, log=self._log("mlflow"), on_line=self._on_line),
            Process("api", api, environment=environment, log=self._log("api"), on_line=self._on_line),
            *worker_processes(self._workers, environment, log=self._log, on_line=self._on_line),
        ]

    def _environment(self) -> dict[str, str]:
        settings = Settings()
        # All on one machine: seen dead sooner. One of the two that somebody set may not go with the other.
        quick = {"EVENHAND_HEARTBEAT_INTERVAL_S": "2", "EVENHAND_HEARTBEAT_GRACE_S": "15"}
        has_pace = settings.model_fields_set & {"heartbeat_interval_s", "heartbeat_grace_s"}
        return {
            **settings.mlflow_environment,
            **({} if has_pace else quick),
            "EVENHAND_DATA_DIR": str(self.data_dir),
            "MLFLOW_TRACKING_URI": self.ports.mlflow_url,
            "PYTHONUNBUFFERED": "1",
        }

    def _on_line(self, name: str, line: str) -> None:
        if name != "mlflow" and line.strip():  # MLflow's chatter is kept in its log file
            self._say(name, line)

    def _log(self, name: str) -> Path:
        return self.data_dir / "logs" / f"{name}.log"

    def _check_ports(self) -> None:
        if self.ports.api == self.ports.mlflow:
            raise UpError(f"Port {self.ports.api} cannot serve both. Choose another one with --port or --mlflow-port.")
        for port, option, owner in (
            (self.ports.api, "--port", "the API"),
            (self.ports.mlflow, "--mlflow-port", "MLflow"),
        ):
            with socket.socket() as probe:
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                try:
                    probe.bind((HOST, port))
                except OSError as error:
                    raise UpError(f"Port {port} for {owner} is taken. Choose another one with {option}.") from error

    @contextlib.contextmanager
    def _folder(self) -> Iterator[None]:
        try:
            (self.data_dir / "logs").mkdir(parents=True, exist_ok=True)
            (self.data_dir / "datasets").mkdir(exist_ok=True)
        except OSError as error:
            raise UpError(
                f"The folder {self.data_dir} cannot be used ({error.strerror}). Choose another with --data."
            ) from error
        with (self.data_dir / ".lock").open("w") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError as error:
                raise UpError(
                    f"The folder {self.data_dir} is in use by another `evenhand up` or `demo`."
                    " Choose another with --data."
                ) from error
            yield
