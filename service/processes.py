"""Processes of ours on this machine: started in groups of their own, watched, and stopped to the last one."""

import contextlib
import ctypes
import os
import signal
import subprocess
import sys
import threading
import time
from collections import defaultdict, deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from types import FrameType

_UNHEARD = (OSError, SystemExit)
"""What saying something raises where the disk is full or the terminal closed; the latter is rich's."""
_LIBC = ctypes.CDLL(None)
_PR_SET_PDEATHSIG = 1
_RESTART_PAUSE_S = 1.0
_MAX_DEATHS, _MAX_DEATHS_S = 5, 120.0
"""A service that dies more often than that in so many seconds does not come back."""
_AFTER_DRAIN_S = 3.0
"""For a worker that was not in time to give back what it holds."""
_SERVICES_WITHIN_S = 3.0
_KILLED_WITHIN_S = 1.0


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
                with contextlib.suppress(*_UNHEARD):
                    self._on_line(self.name, line.rstrip("\n"))


class Group:
    """Processes that live and end together: services, and workers, which `workers` names."""

    def __init__(self, processes: Sequence[Process], *, workers: Sequence[str]) -> None:
        """The order is the order of starting; stopping goes the other way round."""
        self._processes = list(processes)
        self._workers = set(workers)
        self._restart_at: dict[str, float] = {}
        self._deaths: dict[str, deque[float]] = defaultdict(lambda: deque(maxlen=_MAX_DEATHS))

    def start(self) -> None:
        """Starts them all at once."""
        for process in self._processes:
            process.start()

    def look(self, on_event: Callable[[str, str], None], *, is_healthy: bool) -> str | None:
        """Starts again what died; answers the name of a service that does not come back.

        That is one that died before the group was healthy at all, or that dies again and again. Workers always do:
        there are trials that kill theirs.
        """
        for process in self._processes:
            if process.exit_code is None:
                continue
            if process.name not in self._restart_at:
                process.signal(signal.SIGKILL)  # what it left behind may hold its port
                self._restart_at[process.name] = time.monotonic() + _RESTART_PAUSE_S
                is_hopeless = self._dies_again_and_again(process.name) or not is_healthy
                if is_hopeless and process.name not in self._workers:
                    return process.name
            if time.monotonic() >= self._restart_at[process.name]:
                on_event(process.name, f"ended with {process.exit_code}; started again")
                del self._restart_at[process.name]
                process.start()
        return None

    def _dies_again_and_again(self, name: str) -> bool:
        deaths, now = self._deaths[name], time.monotonic()
        found = len(deaths) == _MAX_DEATHS and now - deaths[0] < _MAX_DEATHS_S
        deaths.append(now)
        return found

    def stop(self, *, drain_timeout_s: float, say: Callable[[str, str], None]) -> None:
        """Ends every process, and whatever it started, politely at first; returns with none left.

        Workers have their drain timeout and a little more; `say` is told so. Ctrl-C meanwhile ends all at once.
        """
        workers = [process for process in self._processes if process.name in self._workers]
        others = [process for process in self._processes if process.name not in self._workers]
        patience_s = drain_timeout_s + _AFTER_DRAIN_S
        try:
            # Workers first: what they hold goes back to the queue, and MLflow still hears of it.
            _signal_all(workers, signal.SIGTERM)
            if workers:
                with contextlib.suppress(*_UNHEARD):
                    say(
                        "workers",
                        f"Waiting up to {patience_s:.0f} s for the workers to leave; Ctrl-C ends them at once.",
                    )
            _await_gone(workers, within_s=patience_s)
            _signal_all(others, signal.SIGTERM)
            _await_gone(others, within_s=_SERVICES_WITHIN_S)
        except Stopped:
            pass
        finally:
            with _handling(signal.SIG_IGN):  # it takes a second at most
                _signal_all(self._processes, signal.SIGKILL)
                _await_gone(self._processes, within_s=_KILLED_WITHIN_S)


def _signal_all(processes: Sequence[Process], number: signal.Signals) -> None:
    for process in processes:
        process.signal(number)


def _await_gone(processes: Sequence[Process], *, within_s: float) -> None:
    until = time.monotonic() + within_s
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
def running(group: Group, *, drain_timeout_s: float, say: Callable[[str, str], None]) -> Iterator[None]:
    """Runs the group while its block runs; at the end it is stopped, as `Group.stop` says, whatever happened.

    Raises:
        Stopped: in the block, on Ctrl-C and SIGTERM.
    """
    with _handling(_stop):
        try:
            group.start()
            yield
        finally:
            group.stop(drain_timeout_s=drain_timeout_s, say=say)


def _stop(_number: int, _frame: FrameType | None) -> None:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)  # supervisors may send it twice; whoever means it presses Ctrl-C
    raise Stopped


@contextlib.contextmanager
def _handling(handler: Callable[[int, FrameType | None], None] | signal.Handlers) -> Iterator[None]:
    """Lets Ctrl-C and SIGTERM go to `handler` while its block runs."""
    before = {number: signal.signal(number, handler) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, kept in before.items():
            signal.signal(number, kept)
