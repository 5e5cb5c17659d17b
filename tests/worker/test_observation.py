"""What is seen of a trial, on two epochs of two replicates worked by hand."""

import io

import numpy as np
import pandas as pd
import pytest

from worker.observation import Observation
from worker.training.record import EpochRecord, Evaluation

CLASSES = ["cat", "in/out"]


def evaluation(*rows: tuple[int, int], nll: float = 1.0) -> Evaluation:
    return Evaluation(confusion_CC=np.array(rows), nll=nll)


def record(
    epoch: int,
    validation: Evaluation,
    *,
    member: int = 0,
    importance: list[list[float]] | None = None,
    loss: float = 1.0,
) -> EpochRecord:
    return EpochRecord(
        member=0, epoch=epoch, steps=2, samples=8, lr=0.1, train_loss=loss, mean_weight=0.5,
        importance_SC=None if importance is None else np.array(importance, dtype=np.float32),
        validation=validation, seconds=0.1, failure=None,
    )  # fmt: skip


def observe(objective: str = "balanced_accuracy", *, is_dense: bool = False, epochs: int = 2) -> Observation:
    return Observation(
        title="a trial", classes=CLASSES, counts=[6, 2], seeds=[3, 4], objective=objective, is_dense=is_dense,
        epochs=epochs, curve_points=3,
    )  # fmt: skip


@pytest.fixture
def observation() -> Observation:
    return observe()


FIRST = [
    record(1, evaluation((4, 0), (2, 2), nll=0.5), importance=[[1.0, 0.75], [0.5, 0.25]], loss=1.0),
    record(1, evaluation((2, 2), (4, 0), nll=1.5), importance=[[1.0, 1.0], [0.0, 0.75]], loss=3.0),
]
SECOND = [
    record(2, evaluation((4, 0), (0, 4)), importance=[[0.25, 0.25], [0.125, 0.5]]),
    record(2, evaluation((3, 1), (1, 3)), importance=[[0.5, 0.5], [0.375, 0.0]]),
]


def test_an_epochs_metrics_are_means_over_the_replicates(observation: Observation) -> None:
    found = observation.add(FIRST)
    # Recalls of the first replicate 1 and 0.5, of the second 0.5 and 0.
    expected = {
        "train/loss": 2.0, "train/mean_weight": 0.5, "train/effective_lr": 0.05, "val/nll": 1.0,
        "val/accuracy": (6 / 8 + 2 / 8) / 2, "val/balanced_accuracy": 0.5, "val/worst_recall": 0.25,
        "val/recall/cat": 0.75, "val/recall/in_out": 0.25, "importance/cat": 0.25, "importance/in_out": 0.5,
    }  # fmt: skip
    assert {key: found[key] for key in expected} == pytest.approx(expected)
    assert observation.value == pytest.approx(0.5)
    observation.add(SECOND)
    assert observation.value == pytest.approx((1 + 0.75) / 2)


@pytest.mark.parametrize(
    ("objective", "value"),
    [
        ("worst_recall", 0.25),
        ("recall/cat", 0.75),
        ("recall/in/out", 0.25),
        ("mean_iou", ((4 / 6 + 2 / 4) / 2 + (2 / 8 + 0) / 2) / 2),
        ("iou/cat", (4 / 6 + 2 / 8) / 2),
        ("iou/in/out", (2 / 4 + 0) / 2),
    ],
)
def test_the_value_is_the_objective_of_the_sweep(objective: str, value: float) -> None:
    observation = observe(objective, is_dense=True)
    observation.add(FIRST)
    assert observation.value == pytest.approx(value)
    found, _ = observation.finish([evaluation((8, 0), (0, 8))] * 2)
    assert np.mean([replicate["value"] for replicate in found]) == pytest.approx(value)


def test_an_objective_of_one_class_is_a_metric_under_a_name_that_mlflow_takes() -> None:
    observation = observe("recall/in/out")
    keys = observation.add(FIRST).keys() | observation.finish([evaluation((8, 0), (0, 8))] * 2)[1].keys()
    assert {"val/recall/in_out", "test/recall/in_out"} <= keys
    assert not {"val/recall/in/out", "test/recall/in/out"} & keys


def test_dense_labels_have_iou_beside_recall_and_others_have_not(observation: Observation) -> None:
    found = observe(is_dense=True).add(FIRST)
    expected = {
        "val/mean_iou": ((4 / 6 + 2 / 4) / 2 + (2 / 8 + 0) / 2) / 2, "val/iou/cat": (4 / 6 + 2 / 8) / 2,
        "val/iou/in_out": 1 / 4, "val/recall/cat": 0.75,
    }  # fmt: skip
    assert {key: found[key] for key in expected} == pytest.approx(expected)
    assert not [key for key in observation.add(FIRST) if "iou" in key]


def test_a_class_without_validation_samples_has_no_recall(observation: Observation) -> None:
    nothing_of_the_second = evaluation((3, 1), (0, 0))
    found = observation.add([record(1, nothing_of_the_second), record(1, nothing_of_the_second)])
    assert found["val/recall/cat"] == 0.75
    assert "val/recall/in_out" not in found
    assert "importance/cat" not in found


def test_the_end_tells_every_replicates_scores_and_the_test_metrics_means() -> None:
    observation = observe("worst_recall")
    observation.add(FIRST)
    observation.add(SECOND)
    found, metrics = observation.finish([evaluation((8, 0), (0, 8)), evaluation((0, 8), (0, 8))])
    assert [(replicate["seed"], replicate["value"]) for replicate in found] == [(3, 1.0), (4, 0.75)]
    assert found[1]["validation"]["recall/in_out"] == 0.75
    assert (found[0]["test"]["balanced_accuracy"], found[1]["test"]["balanced_accuracy"]) == (1.0, 0.5)
    assert (metrics["test/balanced_accuracy"], metrics["test/recall/cat"]) == (0.75, 0.5)
    assert all(key.startswith("test/") for key in metrics)


def test_the_trajectory_has_a_row_a_replicate_and_step(observation: Observation) -> None:
    observation.add(FIRST)
    observation.add(SECOND)
    files = observation.artifacts()
    assert set(files) == {"classes.png", "epochs.parquet", "trajectory.parquet"}
    table = pd.read_parquet(io.BytesIO(files["trajectory.parquet"]))
    assert table.columns.tolist() == ["replicate", "seed", "epoch", "step", "importance/cat", "importance/in_out"]
    assert table.to_numpy().tolist() == [
        [0, 3, 1, 1, 1.0, 0.75], [0, 3, 1, 2, 0.5, 0.25], [0, 3, 2, 3, 0.25, 0.25], [0, 3, 2, 4, 0.125, 0.5],
        [1, 4, 1, 1, 1.0, 1.0], [1, 4, 1, 2, 0.0, 0.75], [1, 4, 2, 3, 0.5, 0.5], [1, 4, 2, 4, 0.375, 0.0],
    ]  # fmt: skip


def test_a_loss_without_importance_leaves_no_trajectory(observation: Observation) -> None:
    observation.add([record(1, evaluation((3, 1), (1, 3))), record(1, evaluation((3, 1), (1, 3)))])
    assert set(observation.artifacts()) == {"classes.png", "epochs.parquet"}


BY_CLASS = {"importance/cat", "importance/in_out", "val/recall/cat", "val/recall/in_out"}


def test_curves_by_class_are_thinned_and_the_file_has_every_epoch() -> None:
    observation = observe(epochs=7)
    found = {}
    for epoch in range(1, 7):
        both = [record(epoch, evaluation((4, 0), (2, 2)), importance=[[1.0, epoch]]) for _ in range(2)]
        found[epoch] = observation.add(both)
    assert [epoch for epoch, metrics in found.items() if metrics.keys() & BY_CLASS] == [1, 4]
    assert all("val/balanced_accuracy" in metrics for metrics in found.values())
    epoch, left_out = observation.left_out
    assert (epoch, left_out.keys(), left_out["importance/in_out"]) == (6, BY_CLASS, 6.0)
    assert found[4].keys() >= BY_CLASS
    table = pd.read_parquet(io.BytesIO(observation.artifacts()["epochs.parquet"]))
    assert table["epoch"].tolist() == list(range(1, 7))
    assert table["importance/in_out"].tolist() == list(range(1, 7))
    assert set(table.columns) == {"epoch", *found[1]}
    observation.add([record(7, evaluation((4, 0), (2, 2)), importance=[[1.0, 1.0]])] * 2)
    assert observation.left_out == (7, {})


def test_an_objective_of_one_class_is_a_point_of_every_epoch() -> None:
    observation = observe("recall/in/out", epochs=9)
    keys = [observation.add([record(epoch, evaluation((4, 0), (2, 2)))] * 2).keys() for epoch in (1, 2)]
    assert ["val/recall/in_out" in metrics for metrics in keys] == [True, True]
    assert ["val/recall/cat" in metrics for metrics in keys] == [True, False]
