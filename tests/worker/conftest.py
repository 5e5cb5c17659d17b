"""A sweep worked off once, for every test that only looks at what it left behind."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest

from worker import run

from .bench import Bench, Runs

ALPHAS = [0.0, 0.1, 1.0]


@dataclass(frozen=True, slots=True)
class Finished:
    """A bench with a sweep that has ended, and the sweep's runs."""

    bench: Bench
    sweep_id: str
    runs: Runs


@pytest.fixture(scope="session", autouse=True)
def _hurried() -> Iterator[None]:
    """Workers in threads look for work, and after sweeps, more often: every sweep here begins and ends with a look."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(run, "_IDLE_S", 0.05)
        patch.setattr(run, "_RECONCILE_EVERY_S", 0.2)
        yield


@pytest.fixture(scope="session")
def finished(tmp_path_factory: pytest.TempPathFactory, mlflow_url: str) -> Iterator[Finished]:
    """Three alphas (trials 0 to 2) and plain cross-entropy (trial 3) on digits, two epochs, seeds 500 and 501."""
    bench = Bench.at(tmp_path_factory.mktemp("finished"), mlflow_url=mlflow_url)
    sweep = bench.submit(alpha=ALPHAS, baselines=["cross_entropy"], seed=5, name="three alphas")
    bench.work_off(sweep)
    experiment_id = bench.parts.store.get(sweep.id).experiment_id
    assert experiment_id is not None
    with httpx.Client(base_url=f"{mlflow_url}/api/2.0/mlflow", timeout=20) as client:
        yield Finished(bench, sweep.id, Runs(client, experiment_id))


@pytest.fixture
def bench(tmp_path: Path, mlflow_url: str) -> Bench:
    """A bench on a folder of this test's own."""
    return Bench.at(tmp_path / "data", mlflow_url=mlflow_url)
