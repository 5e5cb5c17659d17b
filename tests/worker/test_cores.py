"""How a machine's cores are divided among workers."""

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest

from worker import cores
from worker.cores import Layout, best_layout, layouts

PLENTY = 10**12


def test_cores_are_divided_evenly_from_many_workers_to_one() -> None:
    found = [(one.processes, one.threads) for one in layouts(4, memory=PLENTY)]
    assert found == [(4, 1), (2, 2), (1, 4)]
    assert layouts(1, memory=PLENTY) == [Layout(processes=1, threads=1)]


@pytest.mark.parametrize(("count", "ways"), [(6, 4), (7, 2), (12, 6), (24, 8)])
def test_no_core_is_left_over(count: int, ways: int) -> None:
    found = layouts(count, memory=PLENTY)
    assert len(found) == ways
    assert all(one.processes * one.threads == count for one in found)
    assert (found[0].processes, found[-1].processes) == (count, 1)


def test_no_more_workers_are_tried_than_fit_into_memory() -> None:
    assert max(one.processes for one in layouts(64, memory=4 * cores._WORKER_BYTES)) == 4
    assert all(one.processes == 1 for one in layouts(8, memory=1))


def test_the_quickest_layout_is_measured_once_and_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cores.torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(cores.os, "sched_getaffinity", lambda _: range(4), raising=False)
    monkeypatch.setattr(cores, "free_bytes", lambda: PLENTY)
    rates = {4: {"mlp": 10.0, "small_cnn": 4.0}, 2: {"mlp": 9.0, "small_cnn": 5.0}, 1: {"mlp": 9.9, "small_cnn": 1.0}}
    asked: list[int] = []

    def rate(layout: Layout) -> dict[str, float]:
        asked.append(layout.processes)
        return rates[layout.processes]

    monkeypatch.setattr(cores, "_rates", rate)
    assert best_layout(tmp_path) == best_layout(tmp_path) == Layout(processes=2, threads=2)
    assert asked == [4, 2, 1]
    kept = json.loads((tmp_path / "cores.json").read_text())
    assert [one["steps_per_s"] for one in kept["measured"]] == list(rates.values())
    for spoiled in ("{", "[]", json.dumps(kept | {"machine": "another"})):
        (tmp_path / "cores.json").write_text(spoiled)
        best_layout(tmp_path)
    assert asked == [4, 2, 1] * 4
    monkeypatch.setattr(cores.os, "sched_getaffinity", lambda _: range(2), raising=False)  # it was given fewer
    assert best_layout(tmp_path).processes <= 2


@pytest.fixture
def rates(monkeypatch: pytest.MonkeyPatch) -> list[Layout]:
    """The layouts of two cores that were timed; the first is the quickest."""
    found: list[Layout] = []
    monkeypatch.setattr(cores.torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(cores.os, "sched_getaffinity", lambda _: range(2), raising=False)
    monkeypatch.setattr(cores, "free_bytes", lambda: PLENTY)
    monkeypatch.setattr(cores, "_rates", lambda layout: found.append(layout) or dict.fromkeys(cores._MODELS, 1.0))
    return found


@pytest.mark.parametrize("best", ['{"processes": 0, "threads": 1}', '{"processes": 1, "threads": 0}', '"x"', "null"])
def test_a_kept_layout_that_cannot_be_is_said_in_a_line_and_measured_again(
    best: str, tmp_path: Path, rates: list[Layout], caplog: pytest.LogCaptureFixture
) -> None:
    quickest = best_layout(tmp_path)
    path = tmp_path / "cores.json"
    whole = path.read_text()
    path.write_text(json.dumps(json.loads(whole) | {"best": json.loads(best)}))
    assert best_layout(tmp_path) == best_layout(tmp_path) == quickest == Layout(processes=2, threads=1)
    assert len(rates) == 4
    assert path.read_text() == whole
    (line,) = caplog.records
    assert (line.action, line.file) == ("layout_refused", str(path))  # type: ignore[attr-defined]


def test_a_layout_that_cannot_be_kept_is_used_all_the_same(
    tmp_path: Path, rates: list[Layout], caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "no folder").write_text("")
    assert best_layout(tmp_path / "no folder") == Layout(processes=2, threads=1)
    (line,) = caplog.records
    assert (line.action, line.exc_info) == ("layout_not_kept", None)  # type: ignore[attr-defined]


@pytest.mark.parametrize(("options", "code"), [(["--help"], 0), ([], 2), (["--threads", "x"], 2)])
def test_the_command_says_what_it_takes_and_measures_nothing(
    options: list[str], code: int, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(cores.sys, "argv", ["cores", *options])
    with pytest.raises(SystemExit) as ended:
        cores.main()
    assert ended.value.code == code
    assert "usage: python -m worker.cores" in "".join(capfd.readouterr())


def test_with_gpus_there_is_a_worker_for_each(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cores.torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(cores.torch.cuda, "device_count", lambda: 3)
    assert best_layout(tmp_path) == Layout(processes=3, threads=1)


def test_children_are_timed_at_once_and_their_steps_added_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    found = cores._rates(Layout(processes=2, threads=1))
    assert found.keys() == {"mlp", "small_cnn"}
    assert all(rate > 0 for rate in found.values())


@pytest.mark.parametrize(
    "does", ["exec sleep 60", "echo ready; read go; exec sleep 60", "exit 3", "echo ready; exit 3"]
)
def test_a_child_that_does_not_answer_is_not_waited_for(
    does: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    child = tmp_path / "child"
    child.write_text(f"#!/bin/sh\n{does}\n")
    child.chmod(0o700)
    started: list[subprocess.Popen[str]] = []
    popen = subprocess.Popen

    def noted(*args: Any, **how: Any) -> subprocess.Popen[str]:
        started.append(popen(*args, **how))
        return started[-1]

    monkeypatch.setattr(cores.sys, "executable", str(child))
    monkeypatch.setattr(cores.subprocess, "Popen", noted)
    monkeypatch.setattr(cores, "_PATIENCE_S", 1.0)
    with pytest.raises(RuntimeError, match="each of 2 processes with 3 threads within 1 s, got none of one"):
        cores._rates(Layout(processes=2, threads=3))
    assert [one.poll() is not None for one in started] == [True, True]
