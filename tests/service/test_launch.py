"""Workers of a machine: how many, with what in their environment, and how they come and go together."""

import json
import re
import signal
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest

from service import launch
from service.launch import worker_environments

from .running import wait_for


def answers(monkeypatch: pytest.MonkeyPatch, **layout: int) -> list[list[str]]:
    """Lets the measurement answer a layout; the commands that asked for it."""
    asked: list[list[str]] = []

    def run(command: list[str], **_: object) -> subprocess.CompletedProcess[str]:
        asked.append(command)
        return subprocess.CompletedProcess(command, 0, stdout=json.dumps(layout))

    monkeypatch.setattr(launch.subprocess, "run", run)
    return asked


def test_a_number_of_workers_is_taken_as_it_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = answers(monkeypatch)
    found = worker_environments(tmp_path, workers=3, say=print)
    assert found == [{"EVENHAND_GPU": "0"}, {"EVENHAND_GPU": "1"}, {"EVENHAND_GPU": "2"}]
    assert asked == []


def test_without_a_number_the_machine_is_measured(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("EVENHAND_THREADS", raising=False)
    asked = answers(monkeypatch, processes=2, threads=4, gpus=0)
    said: list[str] = []
    found = worker_environments(tmp_path, workers=None, say=lambda name, line: said.append(f"{name}: {line}"))
    assert found == [{"EVENHAND_GPU": str(n), "EVENHAND_THREADS": "4"} for n in (0, 1)]
    assert asked == [[sys.executable, "-m", "worker.cores", str(tmp_path / "paces")]]
    assert said == ["workers: Looking once how this machine's cores are best used …"]


def test_threads_that_were_asked_for_divide_the_cores_but_not_the_gpus(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("EVENHAND_THREADS", "3")
    monkeypatch.setattr(launch.os, "cpu_count", lambda: 8)
    for gpus, count in ((0, 2), (4, 4)):
        answers(monkeypatch, processes=gpus or 8, threads=1, gpus=gpus)
        found = worker_environments(tmp_path, workers=None, say=lambda *_: None)
        assert found == [{"EVENHAND_GPU": str(n)} for n in range(count)]


def test_where_measuring_fails_there_is_a_worker_a_core(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("EVENHAND_THREADS", raising=False)
    monkeypatch.setattr(launch.os, "cpu_count", lambda: 2)
    monkeypatch.setattr(
        launch.subprocess, "run", lambda command, **_: subprocess.CompletedProcess(command, -9, stdout="")
    )
    said: list[str] = []
    assert len(worker_environments(tmp_path, workers=None, say=lambda _, line: said.append(line))) == 2
    assert said[-1] == "That did not work (exit code -9); one worker a core."


def test_workers_of_one_command_come_and_go_together(tmp_path: Path) -> None:
    command = [str(Path(sys.executable).with_name("evenhand")), "worker", "--processes", "2", "--width", "3"]
    environment = {"EVENHAND_DATA_DIR": str(tmp_path), "EVENHAND_DRAIN_TIMEOUT_S": "30", "OMP_NUM_THREADS": "1"}
    log = tmp_path / "log"
    with log.open("w") as stream:
        parent = subprocess.Popen(command, env=environment, stderr=stream, cwd=tmp_path)
    try:
        wait_for(lambda: log.read_text().count("worker ready") == 2, within_s=60, what="two workers")
        parent.send_signal(signal.SIGTERM)
        assert parent.wait(20) == 0
        assert "Waiting up to 33 s for the workers to leave; Ctrl-C ends them at once." in log.read_text()
    finally:
        parent.kill()
    assert {path.name for path in (tmp_path / "logs").iterdir()} == {"worker-0.log", "worker-1.log"}
    pids = [int(found) for found in re.findall(r"worker ready.*?-(\d+)-[0-9a-f]{4}", log.read_text())]
    assert len(set(pids)) == 2
    assert not any(Path(f"/proc/{pid}").exists() for pid in pids)


def test_workers_drain_though_nobody_reads_what_is_said_any_more(tmp_path: Path) -> None:
    command = [str(Path(sys.executable).with_name("evenhand")), "worker", "--processes", "2"]
    environment = {"EVENHAND_DATA_DIR": str(tmp_path), "OMP_NUM_THREADS": "1"}
    with subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, cwd=tmp_path, text=True) as parent:
        assert parent.stderr is not None
        while sum("worker ready" in path.read_text() for path in (tmp_path / "logs").glob("*.log")) < 2:
            assert parent.stderr.readline()
        parent.stderr.close()  # as Ctrl-C ends `tee` too
        parent.send_signal(signal.SIGTERM)
        parent.wait(20)
    for log in (tmp_path / "logs").iterdir():
        assert "leaving" in log.read_text()
    with closing(sqlite3.connect(tmp_path / "evenhand.db")) as database:
        assert database.execute("SELECT name FROM evenhand_workers").fetchall() == []  # each signed off
