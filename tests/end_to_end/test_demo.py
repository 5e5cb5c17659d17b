"""`evenhand demo` as a newcomer runs it, without a terminal."""

import sqlite3
import time
from contextlib import closing
from pathlib import Path

import pytest

from ..service.running import evenhand, processes_of

pytestmark = pytest.mark.slow
WITHIN_S = 180
"""The issue asks for two minutes on two cores; what else runs on them is not the demo's doing."""


def test_the_demo_answers_honestly_and_leaves_nothing_running(tmp_path: Path) -> None:
    began = time.monotonic()
    demo = evenhand("demo", "--data", str(tmp_path), "--exit", timeout_s=280)
    seconds = time.monotonic() - began
    assert demo.returncode == 0, demo.stdout + demo.stderr
    assert seconds < WITHIN_S
    assert "with 33 trials of 3 replicates each." in demo.stdout  # 3 ratios of 8 points and 3 baselines
    for ratio in (1, 10, 50):
        assert f"exponential, ratio {ratio} (classes of 105 to {int(105 / ratio)} samples)" in demo.stdout
    for said in ("adaptive alpha=", "cross_entropy", "focal", "balanced_softmax"):
        assert demo.stdout.count(f"\n {said}") == 3, said
    assert demo.stdout.count("scored highest on validation") == 3
    assert demo.stdout.count("On the test set adaptive ") == 9
    assert " ± " in demo.stdout
    assert f"evenhand up --data {tmp_path}" in demo.stdout
    assert processes_of(tmp_path) == []
    with closing(sqlite3.connect(tmp_path / "mlflow.db")) as mlflow:  # its server is gone, what it kept is there
        statuses = mlflow.execute("SELECT status, COUNT(*) FROM runs GROUP BY status").fetchall()
    assert statuses == [("FINISHED", 34)]  # the trials and the summary
