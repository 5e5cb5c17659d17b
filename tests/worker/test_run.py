"""A whole sweep, from the queue to MLflow, which is looked at through its own REST API."""

import json
import threading
from typing import Any

import pytest
import torch

from sweep.reconcile import Reconciler
from worker import run as worker_run

from .bench import Bench, metrics, params, tags, wait_for
from .conftest import Finished

ADAPTIVE_FILES = {"classes.png", "epochs.parquet", "trajectory.parquet"}
PNG = b"\x89PNG\r\n\x1a\n"
COUNTS = (105, 81, 62, 48, 37, 29, 22, 17, 13, 10)
"""Of digits at ratio 10: its rarest class has 131 samples to draw from, 26 of them validate, 105 are the head."""


def test_every_trial_is_complete_and_the_sweep_finished(finished: Finished) -> None:
    sweep = finished.bench.parts.store.get(finished.sweep_id)
    assert sweep.state == "finished"
    assert sweep.progress == {
        "total": 4, "waiting": 0, "running": 0, "complete": 4, "pruned": 0, "failed": 0, "cancelled": 0,
    }  # fmt: skip
    slots = finished.bench.slots(sweep)
    assert [(slot.number, slot.state, len(slot.attempts)) for slot in slots] == [(n, "complete", 1) for n in range(4)]
    for slot in slots:
        assert slot.last is not None
        assert slot.last.worker == "ann"
        assert [replicate["seed"] for replicate in slot.last.replicates] == [500, 501]
        values = [replicate["value"] for replicate in slot.last.replicates]
        assert slot.last.value == pytest.approx(sum(values) / 2)
        assert values == [replicate["validation"]["balanced_accuracy"] for replicate in slot.last.replicates]
        assert len(set(values)) == 2


def test_mlflow_has_one_flat_finished_run_a_trial_and_a_summary(finished: Finished) -> None:
    runs = finished.runs.all()
    assert sorted(tags(run)["evenhand.trial"] for run in runs) == ["0", "1", "2", "3", "summary"]
    assert {run["info"]["status"] for run in runs} == {"FINISHED"}
    assert {tags(run)["evenhand.sweep"] for run in runs} == {finished.sweep_id}
    assert not any("mlflow.parentRunId" in tags(run) for run in runs)
    slots = finished.bench.slots(finished.bench.parts.store.get(finished.sweep_id))
    noted = [slot.last.run_id for slot in slots if slot.last]
    assert noted == [finished.runs.one(number)["info"]["run_id"] for number in range(4)]


def test_the_experiment_is_named_after_the_sweep(finished: Finished) -> None:
    answer = finished.runs.mlflow.get("experiments/get", params={"experiment_id": finished.runs.experiment_id}).json()
    assert answer["experiment"]["name"] == f"three alphas {finished.sweep_id}"


@pytest.mark.parametrize(
    ("number", "name"),
    [
        (0, "alpha=0 exponential×10 adaptive #0"),
        (1, "alpha=0.1 exponential×10 adaptive #1"),
        (2, "alpha=1 exponential×10 adaptive #2"),
        (3, "exponential×10 cross_entropy #3"),
        ("summary", "summary three alphas"),
    ],
)
def test_a_run_is_called_so_that_a_person_knows_it(number: int | str, name: str, finished: Finished) -> None:
    assert finished.runs.one(number)["info"]["run_name"] == name


def test_a_run_carries_the_parameters_that_made_its_numbers(finished: Finished) -> None:
    found = params(finished.runs.one(1))
    expected = {
        "alpha": "0.1", "dataset": "digits", "profile": "exponential", "ratio": "10.0", "loss": "adaptive",
        "model": "mlp", "seed": "5", "seeds": "[500, 501]", "replicates": "2", "epochs": "2", "batch_size": "64",
        "optimizer": "adamw", "lr": "0.002", "weight_decay": "0.01", "schedule": "cosine", "label_smoothing": "0.0",
        "objective": "balanced_accuracy", "sampler": "grid", "device": "cpu", "threads": "1", "precision": "float32",
        "counts": str(dict(zip("0123456789", COUNTS, strict=True))),
    }  # fmt: skip
    assert {name: found.get(name) for name in expected} == expected
    assert found["train_index"].count("'") == 4  # a hash a replicate


def test_a_baselines_run_has_no_alpha_no_importance_and_no_trajectory(finished: Finished) -> None:
    run = finished.runs.one(3)
    assert "alpha" not in params(run)
    assert params(run)["loss"] == "cross_entropy"
    assert not [key for key in metrics(run) if key.startswith("importance/")]
    assert finished.runs.files(run) == {"classes.png", "epochs.parquet"}


@pytest.mark.parametrize("number", range(4))
def test_every_epoch_has_its_metrics_and_the_end_its_tests(number: int, finished: Finished) -> None:
    run = finished.runs.one(number)
    classes = "0123456789"
    by_epoch = {"val/balanced_accuracy", "val/worst_recall", "val/macro_f1", "val/nll", "train/loss"}
    by_epoch |= {f"val/recall/{name}" for name in classes}
    by_epoch |= {f"importance/{name}" for name in classes} if number < 3 else set()
    at_the_end = {"test/balanced_accuracy", "test/worst_recall", "test/macro_f1", "value"}
    at_the_end |= {f"test/recall/{name}" for name in classes}
    assert by_epoch | at_the_end <= metrics(run).keys()
    for key in ("val/balanced_accuracy", "val/recall/9", "train/loss"):
        assert [step for step, _ in finished.runs.history(run, key)] == [1, 2]
    assert [step for step, _ in finished.runs.history(run, "test/balanced_accuracy")] == [2]


@pytest.mark.parametrize("number", range(4))
def test_what_the_database_and_mlflow_say_is_the_same(number: int, finished: Finished) -> None:
    seen = metrics(finished.runs.one(number))
    last = finished.bench.slots(finished.bench.parts.store.get(finished.sweep_id))[number].last
    assert last is not None
    assert seen["value"] == last.value == seen["val/balanced_accuracy"]
    for name in ("balanced_accuracy", "worst_recall", "recall/9", "nll"):
        for part in ("validation", "test"):
            both = [replicate["test" if part == "test" else "validation"][name] for replicate in last.replicates]
            assert seen[f"{'test' if part == 'test' else 'val'}/{name}"] == pytest.approx(sum(both) / 2, rel=1e-12)


def test_a_trials_run_keeps_its_trajectory_and_a_picture_of_all_classes(finished: Finished) -> None:
    for number in range(3):
        run = finished.runs.one(number)
        assert finished.runs.files(run) == ADAPTIVE_FILES
        assert finished.runs.file(run, "classes.png").startswith(PNG)


def test_the_summary_run_keeps_the_results_as_picture_table_and_json(finished: Finished) -> None:
    run = finished.runs.one("summary")
    assert finished.runs.files(run) == {"results.json", "results.md", "results.png", "spec.json"}
    assert finished.runs.file(run, "results.png").startswith(PNG)
    found = json.loads(finished.runs.file(run, "results.json"))
    assert (found["sweep"], found["classes"], found["replicates"]) == (finished.sweep_id, list("0123456789"), 2)
    (scenario,) = found["scenarios"]
    assert (scenario["profile"], scenario["ratio"], tuple(scenario["counts"])) == ("exponential", 10, COUNTS)
    assert [trial["trial"] for trial in scenario["trials"]] == [0, 1, 2]
    assert [baseline["trial"] for baseline in scenario["baselines"]] == [3]
    assert json.loads(finished.runs.file(run, "spec.json"))["alpha"] == [0, 0.1, 1]
    assert "| validation | test |" in finished.runs.file(run, "results.md").decode()
    assert params(run)["dataset"] == "digits"


def test_two_dimensional_data_get_a_picture_of_the_decision_boundary(finished: Finished) -> None:
    bench = finished.bench
    sweep = bench.submit(dataset="toy2d", alpha=0.5, replicates=1, training={"epochs": 1})
    bench.work_off(sweep)
    experiment_id = bench.parts.store.get(sweep.id).experiment_id
    assert experiment_id is not None
    runs = type(finished.runs)(finished.runs.mlflow, experiment_id)
    run = runs.one(0)
    assert runs.files(run) == ADAPTIVE_FILES | {"decision_boundary.png"}
    assert runs.file(run, "decision_boundary.png").startswith(PNG)
    assert {key for key in metrics(run) if key.startswith("importance/")} == {
        "importance/first arm", "importance/second arm", "importance/third arm",
    }  # fmt: skip


def test_a_worker_works_on_while_mlflow_keeps_a_sweep_from_closing(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked, answer = threading.Event(), threading.Event()
    close = Reconciler._close

    def slow(self: Reconciler, *rest: Any, **more: Any) -> None:
        asked.set()
        answer.wait(120)
        close(self, *rest, **more)

    monkeypatch.setattr(Reconciler, "_close", slow)
    first = bench.submit(alpha=0.1, replicates=1, training={"epochs": 1})
    with bench.worker("ann"):
        assert asked.wait(120)
        second = bench.submit(alpha=0.2, replicates=1, training={"epochs": 1})
        bench.parts.studies.lay(second, bench.slots(second))
        wait_for(lambda: bench.slots(second)[0].state == "complete", what="a trial of another sweep", within_s=60)
        assert bench.parts.store.get(first.id).ended_at is None
        answer.set()
        bench.ended(first)
        bench.ended(second)


def test_what_a_worker_claimed_and_does_not_know_of_is_tried_again(bench: Bench) -> None:
    sweep = bench.submit(alpha=[0.1, 0.2], replicates=1, training={"epochs": 1})
    bench.parts.studies.lay(sweep, bench.slots(sweep))
    bench.parts.studies.claim(sweep, worker="ann", width=1)
    bench.work_off(sweep)
    assert [[a.outcome for a in slot.attempts] for slot in bench.slots(sweep)] == [["lost", "complete"], ["complete"]]


def test_a_sweep_is_closed_as_soon_as_its_last_trial_is_told(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(worker_run, "_RECONCILE_EVERY_S", 3600.0)
    sweep = bench.submit(alpha=[0.1, 0.2], replicates=1, training={"epochs": 1})
    bench.work_off(sweep)
    assert bench.parts.store.get(sweep.id).state == "finished"


@pytest.mark.parametrize(("gpus", "gpu", "expected"), [(0, 1, []), (2, 1, [1]), (2, 2, [0])])
def test_a_worker_sets_out_on_its_own_gpu_and_measures_as_it_is_to_train(
    gpus: int, gpu: int, expected: list[int], bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    current: list[int | None] = []
    recorded: list[bool] = []
    monkeypatch.setattr(torch.cuda, "device_count", lambda: gpus)
    monkeypatch.setattr(torch.cuda, "set_device", lambda device: current.append(device.index))
    monkeypatch.setattr(worker_run, "Paces", lambda folder, *, graphs: recorded.append(graphs))
    stop = threading.Event()
    stop.set()
    settings = bench.settings.model_copy(update={"gpu": gpu, "cuda_graphs": gpus > 0})
    worker_run.work(bench.parts, settings, name="ann", stop=stop)
    assert current == expected
    assert recorded == [gpus > 0]
