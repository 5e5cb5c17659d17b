"""`evenhand up` as a user starts it, and what of it can be seen from outside: processes, ports, answers."""

import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, TypeVar

import httpx

_T = TypeVar("_T")
Answer = dict[str, Any]
"""A JSON object as the API answered it."""
READY_WITHIN_S = 90.0
ENDED = ("finished", "cancelled", "failed")
QUICK = {"EVENHAND_HEARTBEAT_INTERVAL_S": "1", "EVENHAND_HEARTBEAT_GRACE_S": "5"}
"""Dead workers are noticed soon, so that the tests need not wait for long."""
ENDLESS: Answer = {
    "name": "endless",
    "dataset": "digits",
    "imbalance": {"profile": "exponential", "ratios": [1]},
    "alpha": {"low": 0.1, "high": 0.2},
    "trials": 4,
    "replicates": 1,
    "training": {"epochs": 10_000},
}
"""Longer than any test waits."""


def evenhand(
    *arguments: str, url: str | None = None, text: str | None = None, cwd: Path | None = None, timeout_s: float = 60
) -> subprocess.CompletedProcess[str]:
    """The command, run to its end as a user runs it; `url` is the server that it finds in its environment."""
    return subprocess.run(
        [str(Path(sys.executable).with_name("evenhand")), *arguments],
        env=environment() | ({"EVENHAND_URL": url} if url else {}),
        input=text or "",
        capture_output=True,
        text=True,
        timeout=timeout_s,
        check=False,
        cwd=cwd,
    )


def environment() -> dict[str, str]:
    """The environment without settings that a developer may have, one thread a process, wide and plain output."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("EVENHAND_", "MLFLOW_"))}
    return kept | {"OMP_NUM_THREADS": "1", "COLUMNS": "200", "NO_COLOR": "1", "TERM": "dumb"}


def free_ports() -> tuple[int, int]:
    """Two ports that nobody listens on now."""
    with socket.socket() as first, socket.socket() as second:
        first.bind(("127.0.0.1", 0))
        second.bind(("127.0.0.1", 0))
        return first.getsockname()[1], second.getsockname()[1]


def wait_for(look: Callable[[], _T], *, within_s: float, what: str) -> _T:
    """What `look` answers once that is true; an AssertionError that says `what` was waited for otherwise."""
    deadline = time.monotonic() + within_s
    while time.monotonic() < deadline:
        if found := look():
            return found
        time.sleep(0.1)
    raise AssertionError(f"waited {within_s:.0f} s in vain for {what}")


class Up:
    """An `evenhand up` on a data folder; as a context it is stopped at the end, whatever the test did to it."""

    def __init__(self, data_dir: Path, *, workers: int, ports: tuple[int, int] | None = None) -> None:
        """Starts it at once; `ready` waits for it."""
        self.data_dir = data_dir.resolve()
        self.port, self.mlflow_port = ports or free_ports()
        self.api, self.mlflow = f"http://127.0.0.1:{self.port}", f"http://127.0.0.1:{self.mlflow_port}"
        self.lines: list[str] = []
        self.process = subprocess.Popen(
            [str(Path(sys.executable).with_name("evenhand")), "up", "--data", str(self.data_dir), "--port",
             str(self.port), "--mlflow-port", str(self.mlflow_port), "--workers", str(workers)],
            env=environment() | QUICK | {"PYTHONUNBUFFERED": "1"},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            stdin=subprocess.DEVNULL,
            text=True,
            start_new_session=True,
        )  # fmt: skip
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def __enter__(self) -> "Up":
        return self

    def __exit__(self, *_: object) -> None:
        if self.process.poll() is None:
            self.stop(signal.SIGTERM)
        for pid in processes_of(self.data_dir):
            os.kill(pid, signal.SIGKILL)

    @property
    def output(self) -> str:
        """What it has printed so far."""
        return "\n".join(self.lines)

    def ready(self) -> "Up":
        """Itself, once it says that it is ready."""
        wait_for(self._ready_or_ended, within_s=READY_WITHIN_S, what=f"`evenhand up`; it said:\n{self.output}")
        assert self.process.poll() is None, self.output
        return self

    def stop(self, number: signal.Signals) -> tuple[int, float]:
        """Its exit code and the seconds that it took to end after the signal."""
        began = time.monotonic()
        self.process.send_signal(number)
        return self.ended(within_s=30), time.monotonic() - began

    def ended(self, *, within_s: float) -> int:
        """Its exit code, once it has ended."""
        code = self.process.wait(within_s)
        self._reader.join(5)
        return code

    def pids(self, *words: str) -> list[int]:
        """The processes that it started whose command line holds all of `words`."""
        return [pid for pid in processes_of(self.data_dir) if all(word in command_of(pid) for word in words)]

    def _ready_or_ended(self) -> bool:
        return self.process.poll() is not None or any(line.startswith("Ready") for line in self.lines)

    def _read(self) -> None:
        assert self.process.stdout is not None
        with self.process.stdout:
            self.lines.extend(line.rstrip("\n") for line in self.process.stdout)


def processes_of(data_dir: Path) -> list[int]:
    """Every process that lives, zombies aside, with the data folder in its environment or its command line."""
    mark = str(data_dir.resolve()).encode()
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and int(entry.name) != os.getpid():
            words = _words(entry / "environ") + _words(entry / "cmdline")
            if mark in words or b"EVENHAND_DATA_DIR=" + mark in words:
                found.append(int(entry.name))
    return found


def command_of(pid: int) -> str:
    """The command line of a process; empty where it has gone."""
    return " ".join(word.decode(errors="replace") for word in _words(Path(f"/proc/{pid}/cmdline")))


def is_free(port: int) -> bool:
    """True where a server could listen on the port."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def submit(api: httpx.Client, **fields: object) -> dict[str, Any]:
    """The sweep that the API answers to a body of `fields`."""
    answer = api.post("/v1/sweeps", json=fields)
    assert answer.status_code == 201, answer.text
    sweep: dict[str, Any] = answer.json()
    return sweep


def await_state(api: httpx.Client, sweep_id: str, states: Iterable[str] = ENDED, *, within_s: float = 90) -> Any:
    """The sweep once it is in one of the states."""
    return wait_for(
        lambda: next((s for s in [api.get(f"/v1/sweeps/{sweep_id}").json()] if s["state"] in states), None),
        within_s=within_s,
        what=f"sweep {sweep_id} to be {' or '.join(states)}",
    )


def trials_of(api: httpx.Client, sweep_id: str) -> list[dict[str, Any]]:
    """Every trial of a sweep (of fewer than a thousand)."""
    items: list[dict[str, Any]] = api.get(f"/v1/sweeps/{sweep_id}/trials").json()["items"]
    return items


def _words(file: Path) -> list[bytes]:
    try:
        return file.read_bytes().split(b"\0")
    except OSError:  # it has ended meanwhile, or it is somebody else's
        return []
