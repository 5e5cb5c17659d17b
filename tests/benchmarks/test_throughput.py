"""The sides of the throughput benchmark do equal work, or it says why not."""

import json
import os
import sys
from dataclasses import replace
from importlib import import_module
from pathlib import Path

import pytest

from benchmarks import throughput
from benchmarks.export import export
from benchmarks.ours import stacks
from benchmarks.peers.command import Result
from benchmarks.throughput import OURS, PLANS, QUICK, Plan, sides, unequal
from benchmarks.works import WORKS, Prepared

PLAN = Plan(epochs=1, trials=2, peer_trials=2, rounds=1)
_LAZY_AT_FIRST = """
import argparse, json, pathlib
parser = argparse.ArgumentParser()
parser.add_argument("--memory", type=pathlib.Path)
parser.add_argument("--out", type=pathlib.Path)
args = parser.parse_args()
is_lazy = args.memory is not None and not args.memory.exists()
if is_lazy:
    args.memory.touch()
trial = {"alpha": 0.1, "samples": 99 if is_lazy else 640, "steps": 10, "final": {"balanced_accuracy": 0.7}}
args.out.write_text(json.dumps({"seconds": 1.0, "trials": [trial, trial]}))
"""
"""A side that sees fewer samples when it is called for the first time, where it has a memory."""


def test_sides_are_held_against_ours() -> None:
    outcomes = {OURS: _trials(0.7, 0.8), "a": _trials(0.7, 0.8, samples=99), "b": _trials(0.8, 0.71, 0.76)}

    (reason,) = unequal(outcomes)

    assert reason == "a: expected as many samples and steps in every trial, got [(99, 10)], and [(640, 10)] of ours."


def test_every_round_is_judged(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "lazy_at_first.py").write_text(_LAZY_AT_FIRST)
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(tmp_path), os.environ.get("PYTHONPATH", "")]))
    memory = str(tmp_path / "memory")
    commands = {OURS: ["lazy_at_first"], "(a) Optuna": ["lazy_at_first", "--memory", memory]}
    monkeypatch.setattr(throughput, "sides", lambda *_, **__: commands)
    prepared = Prepared(WORKS["digits"], tmp_path)

    _, reasons = throughput.compare(prepared, replace(PLAN, rounds=3), data_dir=tmp_path)

    assert [reason.partition(": ")[0] for reason in reasons] == ["digits, round 1"]
    assert "(a) Optuna: " in reasons[0] and "[(99, 10)]" in reasons[0]


@pytest.mark.parametrize(
    ("trials", "processes", "width", "expected"),
    [
        (64, 2, 32, [8] * 8),  # a quarter in training at once
        (64, 2, 4, [4] * 16),
        (32, 2, 32, [4] * 8),
        (4, 2, 32, [1] * 4),
        (3, 2, 1, [1, 1, 1]),
        (1, 2, 32, [1]),
    ],
)
def test_stacks_keep_every_process_busy(trials: int, processes: int, width: int, expected: list[int]) -> None:
    assert stacks(trials, processes=processes, width=width, most=max(2, trials // 4)) == expected


@pytest.mark.slow
def test_our_side_writes_what_a_peer_does(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    prepared = Prepared(replace(WORKS["digits"], epochs=2), tmp_path)
    export(prepared, tmp_path / "digits")
    out = tmp_path / "result.json"
    commands = sides(tmp_path / "digits", PLAN, data_dir=tmp_path)

    found = {}
    for side in (OURS, "(a) Optuna"):
        monkeypatch.setattr(sys, "argv", [*commands[side], "--out", str(out)])
        import_module(commands[side][0]).main()  # in this process, which has imported everything
        found[side] = json.loads(out.read_text())

    ours, peer = found.values()
    assert ours.keys() == peer.keys()
    assert [trial.keys() for trial in ours["trials"]] == [trial.keys() for trial in peer["trials"]]
    assert ours["seconds"] > 0


def test_every_work_has_a_plan() -> None:
    assert PLANS.keys() == WORKS.keys()
    assert QUICK.keys() <= WORKS.keys()


def _trials(*scores: float, samples: int = 640) -> list[Result]:
    return [Result(alpha=0.1, samples=samples, steps=10, final={"balanced_accuracy": score}) for score in scores]
