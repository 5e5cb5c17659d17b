"""The life of `evenhand up`: refusals, deaths within it, stopping, and starting again on the same folder."""

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from ..service.running import (
    Answer,
    Up,
    await_state,
    evenhand,
    free_ports,
    is_free,
    processes_of,
    submit,
    trials_of,
    wait_for,
)

pytestmark = pytest.mark.slow
STOPPED_WITHIN_S = 15
"""Seven seconds for workers, three for API and MLflow, one for what is killed then, and a busy machine."""
LONG: Answer = {
    "dataset": "digits",
    "imbalance": {"profile": "exponential", "ratios": [1]},
    "alpha": 0.2,
    "replicates": 1,
    "training": {"epochs": 120},
}
"""One trial of a few seconds."""


@pytest.fixture(scope="module")
def up(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Up]:
    """A service with two workers."""
    with Up(tmp_path_factory.mktemp("up"), workers=2) as up:
        yield up.ready()


def test_it_says_where_everything_is(up: Up) -> None:
    assert f" {up.api}/docs\n" in up.output
    assert f" {up.mlflow}/#/experiments?workflowType=machine_learning\n" in up.output
    assert httpx.get(f"{up.api}/readyz").json()["workers"] == 2
    assert httpx.get(f"{up.mlflow}/health").status_code == 200


def test_a_folder_serves_one_up_at_a_time(up: Up) -> None:
    port, mlflow_port = map(str, free_ports())
    folder = str(up.data_dir)
    refused = evenhand("up", "--data", folder, "--port", port, "--mlflow-port", mlflow_port)
    assert refused.returncode == 1
    assert f"The folder {folder} is in use by another `evenhand up` or `demo`. Choose another with --data." in (
        refused.stderr
    )
    assert httpx.get(f"{up.api}/readyz").json()["workers"] == 2


@pytest.mark.parametrize("option", ["--port", "--mlflow-port"])
def test_a_port_that_is_taken_is_named_with_its_option_and_nothing_is_left(option: str, up: Up, tmp_path: Path) -> None:
    other = {"--port": "--mlflow-port", "--mlflow-port": "--port"}[option]
    refused = evenhand("up", "--data", str(tmp_path), option, str(up.port), other, str(free_ports()[0]))
    assert refused.returncode == 1
    assert f"Port {up.port} for " in refused.stderr
    assert f"is taken. Choose another one with {option}." in refused.stderr
    assert processes_of(tmp_path) == []


def test_a_trial_whose_worker_is_killed_is_tried_again_and_gives_what_it_would_have_given(up: Up) -> None:
    with httpx.Client(base_url=up.api, timeout=30) as api:
        struck, calm = submit(api, name="struck", **LONG), submit(api, name="calm", **LONG)
        observed = wait_for(lambda: _observed(api, struck["id"]), within_s=60, what="a trial under observation")
        assert observed is not None
        os.kill(_pid(observed), signal.SIGKILL)
        ended = [await_state(api, sweep["id"]) for sweep in (struck, calm)]
        assert [sweep["state"] for sweep in ended] == ["finished", "finished"]
        (again,), (undisturbed,) = (trials_of(api, sweep["id"]) for sweep in ended)
    lost, complete = again["attempts"]
    assert (lost["outcome"], lost["worker"]) == ("lost", observed["attempts"][0]["worker"])
    assert lost["reason"] == f"Worker {lost['worker']} gave no sign of life, or let go of the trial."
    assert (complete["outcome"], complete["reason"]) == ("complete", None)
    assert complete["worker"] != lost["worker"]
    assert [attempt["outcome"] for attempt in undisturbed["attempts"]] == ["complete"]
    assert (again["value"], again["replicates"]) == (undisturbed["value"], undisturbed["replicates"])
    assert sorted(run["status"] for run in runs(up, "struck")) == ["FINISHED", "FINISHED", "KILLED"]  # and the summary
    wait_for(lambda: any("ended with -9; started again" in line for line in up.lines), within_s=30, what="a new worker")
    wait_for(lambda: httpx.get(f"{up.api}/readyz").json()["workers"] == 2, within_s=60, what="two workers again")


def test_it_stops_whole_and_goes_on_where_it_was(up: Up) -> None:
    body = LONG | {"alpha": {"low": 0.01, "high": 1.0}, "trials": 6, "training": {"epochs": 60}}
    with httpx.Client(base_url=up.api, timeout=30) as api:
        sweep = submit(api, name="interrupted", **body)
        done = wait_for(lambda: _half_done(api, sweep["id"]), within_s=60, what="a half-done sweep")
    code, seconds = up.stop(signal.SIGINT)
    assert code == 0
    assert "Waiting up to 7 s for the workers to leave; Ctrl-C ends them at once." in up.output
    assert_nothing_left(up, seconds)
    with Up(up.data_dir, workers=2, ports=(up.port, up.mlflow_port)) as again:
        again.ready()
        with httpx.Client(base_url=again.api, timeout=30) as api:
            ended = await_state(api, sweep["id"])
            assert (ended["state"], ended["progress"]["complete"]) == ("finished", 6)
            trials = trials_of(api, sweep["id"])
        assert len(done) < 6
        for before in done:
            assert trials[before["number"]] == before
        # Who was at work when it stopped gave the trial back, which is no fault of the trial's.
        outcomes = [[attempt["outcome"] for attempt in trial["attempts"]] for trial in trials]
        assert ["stopped", "complete"] in outcomes
        assert all(tried[-1] == "complete" and set(tried[:-1]) <= {"stopped"} for tried in outcomes)
        assert {run["status"] for run in runs(again)} <= {"FINISHED", "KILLED"}
        for pid in again.pids("service.app:create_app") + again.pids("-m mlflow") + again.pids("-m worker"):
            os.kill(pid, signal.SIGKILL)
        code, seconds = again.stop(signal.SIGTERM)
        assert code == 0
        assert_nothing_left(again, seconds)


@pytest.mark.chaos
def test_api_and_mlflow_come_back_where_they_die_and_training_goes_on_meanwhile(tmp_path: Path) -> None:
    with Up(tmp_path, workers=1) as up:
        up.ready()
        with httpx.Client(base_url=up.api, timeout=30) as api:
            sweep = submit(api, **LONG)
            wait_for(lambda: _observed(api, sweep["id"]), within_s=60, what="a trial under observation")
        for part in ("service.app:create_app", "-m mlflow server"):
            os.kill(min(up.pids(part)), signal.SIGKILL)
        for url in (f"{up.api}/healthz", f"{up.mlflow}/health"):
            wait_for(lambda url=url: _answers(url), within_s=90, what=url)  # type: ignore[misc]
        with httpx.Client(base_url=up.api, timeout=30) as api:
            assert await_state(api, sweep["id"])["state"] == "finished"
            (trial,) = trials_of(api, sweep["id"])
        assert [attempt["outcome"] for attempt in trial["attempts"]] == ["complete"]
        assert [run["status"] for run in runs(up)] == ["FINISHED", "FINISHED"]  # the trial's and the summary
        assert sum("ended with -9; started again" in line for line in up.lines) == 2


def test_it_ends_whole_where_a_part_dies_before_it_was_ready(tmp_path: Path) -> None:
    (tmp_path / "mlflow.db").write_text("This is no database.")
    with Up(tmp_path, workers=0) as up:
        assert up.ended(within_s=60) == 1
        assert f"mlflow ended by itself; its log is {up.data_dir / 'logs' / 'mlflow'}.log." in up.output
        assert_nothing_left(up)


def assert_nothing_left(up: Up, seconds: float = 0) -> None:
    """Asserts that it ended in time, with every process and both ports."""
    assert seconds < STOPPED_WITHIN_S
    assert [(pid, up.pids()) for pid in processes_of(up.data_dir)] == []
    assert is_free(up.port)
    assert is_free(up.mlflow_port)


def runs(up: Up, name: str = "") -> list[Answer]:
    """What MLflow's own API says of every run of the experiments whose name begins so."""
    with httpx.Client(base_url=f"{up.mlflow}/api/2.0/mlflow", timeout=30) as mlflow:
        found = mlflow.post("/experiments/search", json={"max_results": 100}).json()["experiments"]
        ids = [experiment["experiment_id"] for experiment in found if experiment["name"].startswith(name)]
        answer = mlflow.post("/runs/search", json={"experiment_ids": ids, "max_results": 1000}).json()
    return [run["info"] for run in answer["runs"]]


def _observed(api: httpx.Client, sweep_id: str) -> Answer | None:
    """The sweep's trial once it runs and MLflow observes it."""
    (trial,) = trials_of(api, sweep_id)
    return trial if trial["state"] == "running" and trial["links"]["mlflow"] else None


def _half_done(api: httpx.Client, sweep_id: str) -> list[Answer]:
    """The complete trials, once there are some and a later one than the two workers' first is in training."""
    trials = trials_of(api, sweep_id)
    trained = [trial for trial in trials[2:] if trial["state"] == "running" and trial["links"]["mlflow"]]
    return [trial for trial in trials if trial["state"] == "complete" and trained]


def _answers(url: str) -> bool:
    try:
        return httpx.get(url, timeout=30).is_success
    except httpx.TransportError:
        return False


def _pid(trial: Answer) -> int:
    """The process that runs a trial: a worker's name is host, process and a few random digits."""
    return int(trial["attempts"][-1]["worker"].split("-")[-2])
