"""Tracking on a real MLflow server, which is looked at through its own REST API."""

import io
import threading
from collections.abc import Callable
from typing import Any

import httpx
import pandas as pd
import pytest
from mlflow.exceptions import MlflowException

from sweep.errors import NotFound, Unavailable
from sweep.store import Sweep
from sweep.tracking import RESULTS_TAG, SUMMARY, SWEEP_TAG, TRAJECTORY, TRIAL_TAG, Point, RunStatus, Tracking

from ..conftest import impatient
from ..gate import Gate
from ..serving import Quiet, serving


@pytest.fixture
def sweep(submit: Callable[..., Sweep]) -> Sweep:
    return submit(name="observed")


@pytest.fixture
def experiment_id(tracking: Tracking, sweep: Sweep) -> str:
    return tracking.experiment(sweep)


@pytest.fixture
def run_id(tracking: Tracking, experiment_id: str) -> str:
    return tracking.start(experiment_id, name="a run", params={"alpha": 0.1, "seeds": [1, 2]}, tags={TRIAL_TAG: "3"})


def run(mlflow: httpx.Client, run_id: str) -> dict[str, Any]:
    found: dict[str, Any] = mlflow.get("runs/get", params={"run_id": run_id}).json()["run"]
    return found


def tags(mlflow: httpx.Client, run_id: str) -> dict[str, str]:
    return {tag["key"]: tag["value"] for tag in run(mlflow, run_id)["data"]["tags"]}


def history(mlflow: httpx.Client, run_id: str, key: str) -> list[tuple[int, float]]:
    found = mlflow.get("metrics/get-history", params={"run_id": run_id, "metric_key": key}).json()
    return [(int(point.get("step", 0)), float(point["value"])) for point in found.get("metrics", [])]


def test_a_sweep_has_one_experiment_however_often_and_by_whom_it_is_asked_for(
    sweep: Sweep, mlflow_url: str, mlflow: httpx.Client
) -> None:
    found: list[str] = []
    threads = [threading.Thread(target=lambda: found.append(impatient(mlflow_url).experiment(sweep))) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 4
    assert len(set(found)) == 1
    experiment = mlflow.get("experiments/get", params={"experiment_id": found[0]}).json()["experiment"]
    assert experiment["name"] == f"observed {sweep.id}"
    assert {tag["key"]: tag["value"] for tag in experiment["tags"]}["evenhand.sweep"] == sweep.id


def test_a_run_starts_with_its_name_parameters_and_tags(mlflow: httpx.Client, run_id: str) -> None:
    found = run(mlflow, run_id)
    assert (found["info"]["run_name"], found["info"]["status"]) == ("a run", "RUNNING")
    assert {param["key"]: param["value"] for param in found["data"]["params"]} == {"alpha": "0.1", "seeds": "[1, 2]"}
    assert tags(mlflow, run_id)["evenhand.trial"] == "3"


def test_points_are_there_in_order_once_they_are_sent(tracking: Tracking, mlflow: httpx.Client, run_id: str) -> None:
    steps, keys = range(1, 501), range(5)
    # 2,500 points: three calls, since MLflow takes 1,000 in one
    tracking.send(run_id, [Point(f"metric/{n}", step * 10.0 + n, step, step) for step in steps for n in keys])
    for n in keys:
        assert history(mlflow, run_id, f"metric/{n}") == [(step, step * 10 + n) for step in steps]


def test_points_that_are_sent_twice_are_there_once(tracking: Tracking, mlflow: httpx.Client, run_id: str) -> None:
    points = [Point("metric", step / 7, step, 1_000 + step) for step in (1, 2, 3)]
    tracking.send(run_id, points[:2])
    tracking.send(run_id, points)
    assert history(mlflow, run_id, "metric") == [(step, step / 7) for step in (1, 2, 3)]


def test_numbers_that_are_not_finite_can_be_sent(tracking: Tracking, mlflow: httpx.Client, run_id: str) -> None:
    tracking.send(run_id, [Point("nan", float("nan"), 1, 1), Point("good", 1.0, 1, 1)])
    assert history(mlflow, run_id, "good") == [(1, 1.0)]
    assert len(history(mlflow, run_id, "nan")) == 1


@pytest.mark.parametrize("status", ["FINISHED", "FAILED", "KILLED"])
def test_a_run_that_has_ended_stays_as_it_ended(
    status: RunStatus, tracking: Tracking, mlflow: httpx.Client, run_id: str
) -> None:
    tracking.end(run_id, status, reason="It rained.")
    ended = run(mlflow, run_id)
    assert ended["info"]["status"] == status
    assert (tags(mlflow, run_id)["evenhand.reason"], tags(mlflow, run_id)["mlflow.note.content"]) == ("It rained.",) * 2
    tracking.end(run_id, "FAILED" if status == "KILLED" else "KILLED", reason="It snowed.")
    assert run(mlflow, run_id) == ended


def test_a_reason_of_any_length_ends_a_run(tracking: Tracking, mlflow: httpx.Client, run_id: str) -> None:
    tracking.end(run_id, "FAILED", reason="é" * 20_000)
    assert run(mlflow, run_id)["info"]["status"] == "FAILED"
    assert set(tags(mlflow, run_id)["evenhand.reason"]) == {"é"}


def test_runs_are_found_by_whether_they_run_and_what_they_are(
    tracking: Tracking, experiment_id: str, run_id: str
) -> None:
    tags = {SWEEP_TAG: "x", TRIAL_TAG: SUMMARY, RESULTS_TAG: "mark"}
    summary = tracking.start(experiment_id, name="s", params={}, tags=tags)
    assert set(tracking.running(experiment_id)) == {run_id, summary}
    assert tracking.summaries(experiment_id) == {}
    tracking.end(summary, "FINISHED")
    tracking.end(run_id, "FINISHED")
    assert tracking.running(experiment_id) == []
    assert tracking.summaries(experiment_id) == {summary: "mark"}
    tracking.delete(summary)
    assert tracking.summaries(experiment_id) == {}


def test_a_trajectory_comes_back_as_it_was_kept(tracking: Tracking, run_id: str) -> None:
    table = pd.DataFrame({"step": [1, 2], "importance/a b": [1.0, 0.25]})
    buffer = io.BytesIO()
    table.to_parquet(buffer, index=False)
    tracking.add_artifacts(run_id, {TRAJECTORY: buffer.getvalue(), "other.txt": b"other"})
    pd.testing.assert_frame_equal(tracking.trajectory(run_id), table)


def test_a_run_without_a_trajectory_says_so(tracking: Tracking, run_id: str) -> None:
    with pytest.raises(NotFound, match="keeps no trajectory"):
        tracking.trajectory(run_id)


@pytest.mark.parametrize(
    "call",
    [
        lambda tracking, _: tracking.ping(),
        lambda tracking, sweep: tracking.experiment(sweep),
        lambda tracking, _: tracking.start("0", name="x", params={}, tags={}),
        lambda tracking, _: tracking.end("0" * 32, "FINISHED"),
        lambda tracking, _: tracking.trajectory("0" * 32),
        lambda tracking, _: tracking.add_artifacts("0" * 32, {"x": b"x"}),
        lambda tracking, _: tracking.send("0" * 32, [Point("x", 1.0, 1, 1)]),
    ],
    ids=["ping", "experiment", "start", "end", "trajectory", "add_artifacts", "send"],
)
def test_an_mlflow_that_is_away_is_called_unavailable(
    call: Callable[[Tracking, Sweep], object], sweep: Sweep, gate: Gate
) -> None:
    with pytest.raises(Unavailable, match="MLflow does not answer"):
        call(impatient(gate.url), sweep)


@pytest.mark.parametrize(
    ("content", "raised"),
    [
        (b"no such backend", Unavailable),
        (b'{"error_code": "RESOURCE_DOES_NOT_EXIST"}', MlflowException),
    ],
)
def test_a_refusal_that_is_not_mlflows_own_is_of_a_proxy_and_passes(content: bytes, raised: type[Exception]) -> None:
    class Refusing(Quiet):
        def do_GET(self) -> None:
            self.answer(404, content)

        do_POST = do_GET

    with serving(Refusing) as url, pytest.raises(raised):
        impatient(url).ping()


def test_patience_ends_when_the_worker_is_to_leave(gate: Gate, caplog: pytest.LogCaptureFixture) -> None:
    stop = threading.Event()
    caught: list[BaseException] = []

    def insist() -> None:
        try:
            Tracking(gate.url, stop=stop).ping()
        except Unavailable as error:
            caught.append(error)

    thread = threading.Thread(target=insist)
    thread.start()
    thread.join(1.5)
    assert thread.is_alive()
    assert [record.url for record in caplog.records if record.message == "mlflow away"] == [gate.url]  # type: ignore[attr-defined]
    stop.set()
    thread.join(30)
    assert len(caught) == 1


def test_what_is_sent_while_mlflow_is_away_arrives_once_it_is_back(
    gate: Gate, mlflow: httpx.Client, run_id: str, caplog: pytest.LogCaptureFixture
) -> None:
    patient = Tracking(gate.url, stop=threading.Event())
    threads = [threading.Thread(target=patient.send, args=(run_id, [Point("m", n, n, n)])) for n in (1, 2)]
    for thread in threads:
        thread.start()
    threads[0].join(0.7)
    assert all(thread.is_alive() for thread in threads)
    assert len([record for record in caplog.records if record.message == "mlflow away"]) == 1  # however many wait
    gate.open()
    for thread in threads:
        thread.join(60)
    assert sorted(history(mlflow, run_id, "m")) == [(1, 1.0), (2, 2.0)]
