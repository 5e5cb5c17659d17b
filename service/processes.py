"""Processes of ours on this machine: started in groups of their own, watched, and stopped to the last one."""

import contextlib
import ctypes
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from types import FrameType

_LIBC = ctypes.CDLL(None)
_PR_SET_PDEATHSIG = 1
_RESTART_PAUSE_S = 1.0
_STOP_WITHIN_S = 9.0


class Stopped(Exception):
    """Raised out of a wait by Ctrl-C or SIGTERM."""


class Process:
    """One command in a process group of its own; its output goes to a file, and by line to `on_line`."""

    def __init__(
        self,
        name: str,
        command: Sequence[str],
        *,
        environment: Mapping[str, str],
        log: Path,
        on_line: Callable[[str, str], None],
    ) -> None:
        """Describes the process; `start` starts it."""
        self.name = name
        self._command, self._environment, self._log, self._on_line = command, environment, log, on_line
        self._popen: subprocess.Popen[str] | None = None
        self._groups: set[int] = set()

    def start(self) -> None:
        """Starts the command, again where it ran before."""
        self._popen = subprocess.Popen(
            self._command,
            env={**os.environ, **self._environment},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            start_new_session=True,
            preexec_fn=_die_with_parent if sys.platform == "linux" else None,
        )
        # A number may be given to somebody else once its group is gone.
        self._groups = {group for group in self._groups if _has_members(group)} | {self._popen.pid}
        threading.Thread(target=self._read, args=(self._popen,), daemon=True).start()

    @property
    def exit_code(self) -> int | None:
        """How the command ended; None while it runs."""
        return self._popen.poll() if self._popen else None

    def signal(self, number: signal.Signals) -> None:
        """Signals every process of every group that this process ever started, whether or not its head lives."""
        for group in self._groups:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(group, number)

    @property
    def is_gone(self) -> bool:
        """True where no process of its groups is left."""
        self.exit_code  # noqa: B018  reaps the head, which otherwise counts as there
        return not any(map(_has_members, self._groups))

    def _read(self, popen: subprocess.Popen[str]) -> None:
        assert popen.stdout is not None
        with popen.stdout, self._log.open("a", encoding="utf-8") as log:
            for line in popen.stdout:
                # A full disk or a closed terminal costs lines; a pipe that nobody empties would stop the process.
                with contextlib.suppress(OSError):
                    log.write(line)
                    log.flush()
                with contextlib.suppress(OSError):
                    self._on_line(self.name, line.rstrip("\n"))


class Group:
    """Processes that live and end together; workers, which `restarted` names, come back when they die."""

    def __init__(self, processes: Sequence[Process], *, restarted: Sequence[str]) -> None:
        """The order is the order of starting; stopping goes the other way round."""
        self._processes = list(processes)
        self._restarted = set(restarted)
        self._restart_at: dict[str, float] = {}

    def start(self) -> None:
        """Starts them all at once."""
        for process in self._processes:
            process.start()

    def look(self, on_event: Callable[[str, str], None]) -> str | None:
        """Starts again what died and may come back; answers the name of a dead process that may not."""
        for process in self._processes:
            if process.exit_code is None:
                continue
            if process.name not in self._restarted:
                return process.name
            due = self._restart_at.setdefault(process.name, time.monotonic() + _RESTART_PAUSE_S)
            if time.monotonic() >= due:
                on_event(process.name, f"ended with {process.exit_code}; started again")
                del self._restart_at[process.name]
                process.start()
        return None

    def stop(self, *, within_s: float) -> None:
        """Ends every process, and whatever it started, politely at first; returns with none left."""
        began = time.monotonic()
        workers = [process for process in self._processes if process.name in self._restarted]
        others = [process for process in self._processes if process.name not in self._restarted]
        # Workers first: what they hold goes back to the queue, and MLflow still hears of it.
        for processes, share in ((workers, 0.6), (others, 0.9)):
            _signal_all(processes, signal.SIGTERM)
            _await_gone(processes, until=began + share * within_s)
        _signal_all(self._processes, signal.SIGKILL)
        _await_gone(self._processes, until=began + within_s)


def _signal_all(processes: Sequence[Process], number: signal.Signals) -> None:
    for process in processes:
        process.signal(number)


def _await_gone(processes: Sequence[Process], *, until: float) -> None:
    while not all(process.is_gone for process in processes) and time.monotonic() < until:
        time.sleep(0.05)


def _has_members(group: int) -> bool:
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return False
    return True


def _die_with_parent() -> None:
    """Runs in the child before its command: the kernel ends it should we be killed without a chance to."""
    _LIBC.prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)


@contextlib.contextmanager
def running(group: Group) -> Iterator[None]:
    """Runs the group while its block runs; at the end nothing of it is left, whatever happened.

    Raises:
        Stopped: in the block, on Ctrl-C and SIGTERM.
    """
    with _signals():
        try:
            group.start()
            yield
        finally:
            with _deaf():
                group.stop(within_s=_STOP_WITHIN_S)


@contextlib.contextmanager
def _signals() -> Iterator[None]:
    def stop(_number: int, _frame: FrameType | None) -> None:
        raise Stopped

    before = {number: signal.signal(number, stop) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextlib.contextmanager
def _deaf() -> Iterator[None]:
    """Lets no second Ctrl-C cut the stopping short: it takes ten seconds at most."""
    before = {number: signal.signal(number, signal.SIG_IGN) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
