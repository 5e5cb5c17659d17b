"""Processes and groups of them: watched, started again, and stopped to the last grandchild."""

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from service import processes
from service.processes import Group, Process, Stopped, running

from .running import wait_for

SLEEPS = "import time; time.sleep(600)"
DEAF = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('deaf', flush=True); time.sleep(600)"
PARENT = f"""
import subprocess, sys
child = subprocess.Popen([sys.executable, "-c", {DEAF!r}])
print(child.pid, flush=True)
child.wait()
"""
"""Starts a grandchild that ignores SIGTERM, and says who it is."""

LEAVES = """
import os, signal, sys, time
takes_s = float(os.environ.get("TAKES_S", 0))
signal.signal(signal.SIGTERM, lambda *_: (print("asked", flush=True), time.sleep(takes_s), sys.exit()))
print("ready", flush=True)
time.sleep(600)
"""

Make = Callable[..., Process]


class Heard(list[tuple[str, str]]):
    """What processes printed, by their name."""

    def take(self, name: str, line: str) -> None:
        self.append((name, line))

    def lines(self, name: str) -> list[str]:
        return [line for heard, line in self if heard == name]


@pytest.fixture
def heard() -> Heard:
    return Heard()


@pytest.fixture
def make(tmp_path: Path, heard: Heard) -> Iterator[Make]:
    """Makes a process that runs a piece of Python; whatever is left of it at the end is killed."""
    made: list[Process] = []

    def make(name: str, code: str, **environment: str) -> Process:
        command = [sys.executable, "-c", code]
        made.append(Process(name, command, environment=environment, log=tmp_path / f"{name}.log", on_line=heard.take))
        return made[-1]

    yield make
    for process in made:
        process.signal(signal.SIGKILL)
    wait_for(lambda: all(process.is_gone for process in made), within_s=30, what="every process to go")


def test_what_a_process_prints_goes_to_its_log_and_is_heard_line_by_line(
    make: Make, heard: Heard, tmp_path: Path
) -> None:
    code = "import os, sys; print(os.environ['GREETING']); print('and an error', file=sys.stderr)"
    process = make("speaker", code, GREETING="grüezi")
    assert process.exit_code is None
    process.start()
    wait_for(lambda: process.exit_code is not None and len(heard) == 2, within_s=30, what="two lines")
    assert sorted(heard) == [("speaker", "and an error"), ("speaker", "grüezi")]
    process.start()
    wait_for(lambda: len(heard) == 4, within_s=30, what="two more lines")
    assert sorted((tmp_path / "speaker.log").read_text().splitlines()) == ["and an error"] * 2 + ["grüezi"] * 2


def test_a_worker_that_dies_is_started_again_after_a_pause(make: Make, heard: Heard) -> None:
    worker = make("worker", f"import os; print(os.getpid(), flush=True); {SLEEPS}")
    group = Group([worker], workers=["worker"])
    group.start()
    events: list[tuple[str, str]] = []

    def look() -> list[str]:
        assert group.look(lambda name, text: events.append((name, text)), is_healthy=True) is None
        return heard.lines("worker")

    (first,) = wait_for(look, within_s=30, what="the first worker")
    os.kill(int(first), signal.SIGKILL)
    lines = wait_for(lambda: look()[1:], within_s=30, what="the second worker")
    assert lines != [first]
    assert events == [("worker", "ended with -9; started again")]
    assert worker.exit_code is None
    group.stop(drain_timeout_s=0, say=_ignore)
    assert worker.is_gone


def test_a_worker_that_dies_at_once_is_not_started_again_without_a_pause(make: Make) -> None:
    worker = make("worker", "raise SystemExit(3)")
    group = Group([worker], workers=["worker"])
    events: list[tuple[str, str]] = []
    group.start()
    wait_for(lambda: worker.exit_code == 3, within_s=30, what="the worker to die")
    for _ in range(3):
        group.look(lambda name, text: events.append((name, text)), is_healthy=True)
    assert events == []


def test_a_service_that_dies_before_all_are_healthy_is_named(make: Make) -> None:
    group = Group([make("api", SLEEPS), make("mlflow", "raise SystemExit(1)")], workers=[])
    group.start()
    assert wait_for(lambda: group.look(_ignore, is_healthy=False), within_s=30, what="a dead part") == "mlflow"
    group.stop(drain_timeout_s=0, say=_ignore)


def test_a_healthy_service_that_dies_is_started_again_once_what_it_left_is_gone(make: Make, heard: Heard) -> None:
    service = make("mlflow", PARENT)
    group = Group([service], workers=[])
    group.start()
    wait_for(lambda: len(heard) == 2, within_s=30, what="the grandchild")
    (grandchild,) = (int(line) for line in heard.lines("mlflow") if line != "deaf")
    os.kill(_parent_of(grandchild), signal.SIGKILL)

    def look() -> bool:
        assert group.look(heard.take, is_healthy=True) is None
        return len(heard) == 5

    wait_for(look, within_s=30, what="another grandchild")
    assert "ended with -9; started again" in heard.lines("mlflow")
    assert not _lives(grandchild)
    group.stop(drain_timeout_s=0, say=_ignore)


def test_a_service_that_dies_again_and_again_is_named(
    make: Make, heard: Heard, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(processes, "_RESTART_PAUSE_S", 0.0)
    group = Group([make("api", "raise SystemExit(1)")], workers=[])
    group.start()
    assert wait_for(lambda: group.look(heard.take, is_healthy=True), within_s=60, what="a hopeless part") == "api"
    assert heard.lines("api") == ["ended with 1; started again"] * 5
    group.stop(drain_timeout_s=0, say=_ignore)


def test_stopping_asks_workers_first_and_leaves_nothing(make: Make, heard: Heard) -> None:
    api, worker = make("api", LEAVES), make("worker", LEAVES)
    group = Group([api, worker], workers=["worker"])
    group.start()
    wait_for(lambda: len(heard) == 2, within_s=30, what="both to be ready")
    group.stop(drain_timeout_s=0, say=_ignore)
    assert (api.exit_code, worker.exit_code) == (0, 0)
    wait_for(lambda: len(heard) == 4, within_s=10, what="both to have been asked")
    assert [name for name, line in heard if line == "asked"] == ["worker", "api"]


@pytest.mark.parametrize(("code", "number", "exit_code"), [(LEAVES, signal.SIGTERM, 0), (DEAF, signal.SIGINT, -9)])
def test_workers_have_their_drain_timeout_unless_ctrl_c_comes_twice(
    code: str, number: int, exit_code: int, make: Make, heard: Heard
) -> None:
    worker = make("worker", code, TAKES_S="3.5")  # more than what is granted beyond the drain timeout
    with pytest.raises(Stopped), running(Group([worker], workers=["worker"]), drain_timeout_s=60, say=heard.take):
        wait_for(lambda: heard.lines("worker"), within_s=30, what="the worker")
        began = time.monotonic()
        threading.Timer(0.5, os.kill, (os.getpid(), number)).start()
        os.kill(os.getpid(), number)
    assert time.monotonic() - began < 20
    assert worker.exit_code == exit_code
    assert heard.lines("workers") == ["Waiting up to 63 s for the workers to leave; Ctrl-C ends them at once."]


def test_grandchildren_that_ignore_sigterm_are_ended_in_time(make: Make, heard: Heard) -> None:
    parent = make("parent", PARENT)
    group = Group([parent], workers=[])
    group.start()
    wait_for(lambda: len(heard) == 2, within_s=30, what="the grandchild")
    (grandchild,) = (int(line) for line in heard.lines("parent") if line != "deaf")
    began = time.monotonic()
    group.stop(drain_timeout_s=0, say=_ignore)
    assert time.monotonic() - began < 10
    assert not _lives(grandchild)
    assert parent.exit_code is not None


def test_grandchildren_are_ended_whose_parent_was_killed_before(make: Make, heard: Heard) -> None:
    parent = make("parent", PARENT)
    group = Group([parent], workers=[])
    group.start()
    wait_for(lambda: len(heard) == 2, within_s=30, what="the grandchild")
    (grandchild,) = (int(line) for line in heard.lines("parent") if line != "deaf")
    os.kill(_parent_of(grandchild), signal.SIGKILL)
    wait_for(lambda: parent.exit_code == -signal.SIGKILL, within_s=30, what="the parent's end")
    assert _lives(grandchild)
    assert not parent.is_gone
    group.stop(drain_timeout_s=0, say=_ignore)
    assert not _lives(grandchild)
    wait_for(lambda: parent.is_gone, within_s=30, what="init to take the grandchild's remains away")


def test_stopping_what_never_started_or_has_ended_is_no_error(make: Make) -> None:
    never, ended = make("never", SLEEPS), make("ended", "pass")
    ended.start()
    wait_for(lambda: ended.exit_code == 0, within_s=30, what="the end")
    Group([never, ended], workers=["never"]).stop(drain_timeout_s=0, say=_ignore)
    assert never.is_gone
    assert ended.is_gone


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells children of their parent's death")
def test_processes_end_with_whoever_started_them(tmp_path: Path) -> None:
    code = f"""
from pathlib import Path
import sys, time
from service.processes import Process
Process("child", [sys.executable, "-c", "import os; print(os.getpid(), flush=True); {SLEEPS}"],
        environment={{}}, log=Path({str(tmp_path / "log")!r}), on_line=lambda _, line: print(line, flush=True)).start()
time.sleep(600)
"""
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        child = int(parent.stdout.readline())
        assert _lives(child)
        parent.kill()
    wait_for(lambda: not _lives(child), within_s=30, what="the child to follow its parent")


def _ignore(_name: str, _text: str) -> None:
    """Events that a test does not look at."""


def _status(pid: int) -> dict[str, str]:
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except OSError:
        return {}
    return dict(line.split(":\t", 1) for line in lines if ":\t" in line)


def _lives(pid: int) -> bool:
    return _status(pid).get("State", "Z").lstrip()[0] not in "ZX"


def _parent_of(pid: int) -> int:
    return int(_status(pid)["PPid"])
