"""Worker processes, as `evenhand up` and any other placer start them."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from sweep.slots import Slot

from .bench import Bench, Runs, tags, wait_for
from .conftest import ALPHAS, Finished


def start(bench: Bench, log: Path, **more: str) -> subprocess.Popen[bytes]:
    """One worker on the bench's folder, with `more` in its environment."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("EVENHAND_", "MLFLOW_"))}
    environment = kept | {
        "EVENHAND_DATA_DIR": str(bench.settings.data_dir),
        "MLFLOW_TRACKING_URI": bench.settings.mlflow_tracking_uri,
        "OMP_NUM_THREADS": "1",
        **more,
    }
    with log.open("wb") as stream:
        return subprocess.Popen([sys.executable, "-m", "worker"], env=environment, stderr=stream, cwd=log.parent)


def points(slots: Sequence[Slot]) -> list[object]:
    return [(s.number, s.params, s.last.value, s.last.replicates) if s.last else s.number for s in slots]


@pytest.mark.slow
def test_two_workers_find_exactly_what_one_finds_and_leave_when_asked(
    finished: Finished, bench: Bench, tmp_path: Path
) -> None:
    sweep = bench.submit(alpha=ALPHAS, baselines=["cross_entropy"], seed=5)
    workers = [start(bench, tmp_path / f"{n}.log") for n in range(2)]
    try:
        wait_for(lambda: len(bench.parts.store.living(grace_s=60)) == 2, what="two signs of life")
        ended = bench.ended(sweep)
        for worker, ask in zip(workers, (signal.SIGTERM, signal.SIGINT), strict=True):
            worker.send_signal(ask)
        codes = [worker.wait(30) for worker in workers]
    finally:
        for worker in workers:
            worker.kill()
            worker.wait(30)
    assert codes == [0, 0]
    assert bench.parts.store.living(grace_s=60) == set()
    assert ended.state == "finished"
    slots, alone = bench.slots(sweep), finished.bench.slots(finished.bench.parts.store.get(finished.sweep_id))
    assert points(slots) == points(alone)
    assert [len(slot.attempts) for slot in slots] == [1] * 4
    runs = Runs(finished.runs.mlflow, str(ended.experiment_id)).all()
    assert sorted(tags(run)["evenhand.trial"] for run in runs) == ["0", "1", "2", "3", "summary"]
    assert {run["info"]["status"] for run in runs} == {"FINISHED"}


def test_a_worker_waits_for_a_database_that_is_away_as_it_starts(bench: Bench, tmp_path: Path) -> None:
    log = tmp_path / "worker.log"
    nobody_listens = "postgresql+psycopg://evenhand@127.0.0.1:1/evenhand"
    worker = start(bench, log, EVENHAND_DATABASE_URL=nobody_listens, EVENHAND_LOG_JSON="true")
    try:
        wait_for(lambda: "database_away" in log.read_text(), what="a word on the database")
        assert worker.poll() is None
        worker.terminate()
        assert worker.wait(30) == 1
    finally:
        worker.kill()
        worker.wait(30)
    assert "Traceback" not in log.read_text()
    last = json.loads(log.read_text().splitlines()[-1])
    assert (last["action"], "does not answer" in last["reason"]) == ("no_start", True)
