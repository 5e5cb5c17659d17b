"""The same sweeps by one worker and by four: the same points, the same values, exactly as many trials as asked."""

import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from ..service.running import QUICK, Answer, Up, await_state, environment, submit, trials_of, wait_for

pytestmark = pytest.mark.slow
BODY: Answer = {
    "dataset": "toy2d",
    "imbalance": {"profile": "exponential", "ratios": [5], "n_max": 60},
    "replicates": 2,
    "seed": 11,
    "training": {"epochs": 1},
}
SWEEPS: Mapping[str, Answer] = {
    "random": {"sampler": "random", "alpha": {"low": 0.001, "high": 1.0, "log": True}, "trials": 4},
    "qmc": {"sampler": "qmc", "alpha": {"low": 0.001, "high": 1.0, "log": True}, "trials": 4},
    "grid": {"sampler": "grid", "alpha": [0.1, 0.01, 1.0, 0.5]},
}


@pytest.fixture(scope="module")
def answers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Answer, Answer]]:
    """By sampler, what one worker gave, and what four gave once three more had come to it."""
    with Up(tmp_path_factory.mktemp("same"), workers=1) as up, httpx.Client(base_url=up.api, timeout=30) as api:
        up.ready()
        alone = _swept(api)
        with _more_workers(up, 3):
            wait_for(lambda: api.get("/readyz").json()["workers"] == 4, within_s=90, what="four workers")
            together = _swept(api)
        yield alone, together


@pytest.mark.parametrize("sampler", SWEEPS)
def test_one_worker_and_four_give_the_same_points_and_values(sampler: str, answers: tuple[Answer, Answer]) -> None:
    one, four = (answer[sampler] for answer in answers)
    assert [trial["number"] for trial in one] == [trial["number"] for trial in four] == list(range(4))
    for alone, together in zip(one, four, strict=True):
        assert (alone["state"], together["state"]) == ("complete", "complete")
        assert (alone["loss"], alone["params"]) == (together["loss"], together["params"])
        assert alone["replicates"] == together["replicates"]
        assert alone["value"] == together["value"]
    values = {(seed["seed"], seed["value"]) for trial in one for seed in trial["replicates"]}
    assert {seed for seed, _ in values} == {1100, 1101}
    assert len(values) > 2


def test_the_points_are_those_asked_for(answers: tuple[Answer, Answer]) -> None:
    for answer in answers:
        alphas = {sampler: [trial["params"]["alpha"] for trial in trials] for sampler, trials in answer.items()}
        assert alphas["grid"] == [0.1, 0.01, 1.0, 0.5]
        for sampler in ("random", "qmc"):
            assert len(set(alphas[sampler])) == 4
            assert all(0.001 <= alpha <= 1.0 for alpha in alphas[sampler])


def test_every_trial_was_tried_once_and_many_workers_shared_them(answers: tuple[Answer, Answer]) -> None:
    workers = []
    for answer in answers:
        attempts = [trial["attempts"] for trials in answer.values() for trial in trials]
        assert {len(tried) for tried in attempts} == {1}
        workers.append({attempt["worker"] for tried in attempts for attempt in tried})
    assert len(workers[0]) == 1
    assert 1 < len(workers[1]) <= 4


def _swept(api: httpx.Client) -> Answer:
    ids = {name: submit(api, **BODY | fields)["id"] for name, fields in SWEEPS.items()}
    return {name: trials_of(api, await_state(api, sweep)["id"]) for name, sweep in ids.items()}


@contextmanager
def _more_workers(up: Up, number: int) -> Iterator[None]:
    """`evenhand worker`, so many times, on the folder of a running service."""
    surroundings = environment() | QUICK | {"EVENHAND_DATA_DIR": str(up.data_dir), "MLFLOW_TRACKING_URI": up.mlflow}
    command, quiet = [str(Path(sys.executable).with_name("evenhand")), "worker"], subprocess.DEVNULL
    workers = [subprocess.Popen(command, env=surroundings, stdout=quiet, stderr=quiet) for _ in range(number)]
    try:
        yield
    finally:
        for worker in workers:
            worker.terminate()
        codes = [worker.wait(30) for worker in workers]
    assert codes == [0] * number
