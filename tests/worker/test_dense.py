"""Labels by pixel, some of them ignored: what MLflow has of a user's masks, against a training worked out here."""

import io
from collections.abc import Iterator
from typing import Any

import httpx
import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image

from sweep.datasets import Dataset
from sweep.slots import Attempt

from .bench import Bench, Runs
from .conftest import Finished
from .park import BATCH, DECAY, EPOCHS, KEYS, LR, Course, normalised, train, write_park

ALPHAS = [0.0, 0.3]
SEEDS = (700, 701, 702)


@pytest.fixture(scope="module")
def park(tmp_path_factory: pytest.TempPathFactory, mlflow_url: str) -> Iterator[Finished]:
    """Alpha 0 and 0.3 (trials 0 and 1) and plain cross-entropy (trial 2) on the user's masks."""
    bench = Bench.at(tmp_path_factory.mktemp("dense"), mlflow_url=mlflow_url)
    write_park(bench.settings.data_dir / "datasets" / "park")
    sweep = bench.submit(
        dataset="park", imbalance={"profile": "natural"}, alpha=ALPHAS, baselines=["cross_entropy"], seed=7,
        replicates=len(SEEDS), model={"name": "unet", "width": 2, "depth": 1}, objective="mean_iou",
        training={"epochs": EPOCHS, "batch_size": BATCH, "optimizer": "sgd", "lr": LR, "weight_decay": DECAY},
    )  # fmt: skip
    bench.work_off(sweep)
    with httpx.Client(base_url=f"{mlflow_url}/api/2.0/mlflow", timeout=20) as client:
        yield Finished(bench, sweep.id, Runs(client, str(bench.parts.store.get(sweep.id).experiment_id)))


@pytest.fixture(scope="module")
def dataset(park: Finished) -> Dataset:
    return park.bench.parts.datasets.load("park")


@pytest.fixture(scope="module", params=range(len(ALPHAS)), ids=[f"alpha={alpha}" for alpha in ALPHAS])
def trial(request: pytest.FixtureRequest, dataset: Dataset) -> tuple[int, list[Course]]:
    """A trial's number, and its replicates' courses as worked out here."""
    number: int = request.param
    return number, [train(dataset, alpha=ALPHAS[number], seed=seed) for seed in SEEDS]


def last(park: Finished, number: int) -> Attempt:
    attempt = park.bench.slots(park.bench.parts.store.get(park.sweep_id))[number].last
    assert attempt is not None
    return attempt


def predictions(park: Finished, run: dict[str, Any]) -> dict[str, NDArray[Any]]:
    with np.load(io.BytesIO(park.runs.file(run, "predictions.npz")), allow_pickle=False) as arrays:
        return dict(arrays)


def test_the_trajectory_in_mlflow_is_the_one_worked_out_by_hand(
    trial: tuple[int, list[Course]], park: Finished
) -> None:
    number, courses = trial
    table = park.runs.trajectory(park.runs.one(number))
    keys = [f"importance/{key}" for key in KEYS]
    assert list(table.columns) == ["replicate", "seed", "epoch", "step", *keys]
    for replicate, course in enumerate(courses):
        found_SC = table.loc[table["seed"] == SEEDS[replicate], keys].to_numpy()
        assert len(found_SC) == len(course.importance_SC) > 2 * EPOCHS
        np.testing.assert_allclose(found_SC, np.array(course.importance_SC), rtol=0, atol=1e-6)
    if ALPHAS[number]:
        assert table[keys].min().lt(0.9).all()  # there was something to follow


def test_the_metrics_in_mlflow_are_those_of_predictions_counted_by_hand(
    trial: tuple[int, list[Course]], park: Finished
) -> None:
    number, courses = trial
    run = park.runs.one(number)
    for epoch in range(EPOCHS):
        expected = {f"{kind}/{key}" for kind in ("iou", "recall") for key in KEYS} | {"mean_iou", "nll"}
        for key in expected:
            history = park.runs.history(run, f"val/{key}")
            mean = np.mean([course.validation[epoch][key] for course in courses])
            assert history[epoch][0] == epoch + 1
            assert history[epoch][1] == pytest.approx(mean, rel=1e-5), key
        weight = np.mean([np.mean(course.weights[epoch]) for course in courses])
        assert park.runs.history(run, "train/mean_weight")[epoch][1] == pytest.approx(weight, rel=1e-5)
    scores = [course.validation[-1]["mean_iou"] for course in courses]
    assert last(park, number).value == pytest.approx(np.mean(scores))
    assert [replicate["value"] for replicate in last(park, number).replicates] == pytest.approx(scores)


def test_the_predictions_kept_are_those_of_the_median_replicate_on_test_images(
    trial: tuple[int, list[Course]], park: Finished, dataset: Dataset
) -> None:
    number, courses = trial
    kept = predictions(park, park.runs.one(number))
    scores = [course.validation[-1]["mean_iou"] for course in courses]
    median = scores.index(sorted(scores)[1])
    assert kept["seed"] == SEEDS[median]
    for image, truth in zip(kept["images"], kept["truth"], strict=True):
        (row,) = np.flatnonzero((np.array(dataset.test_inputs) == image).all(axis=(1, 2, 3)))
        np.testing.assert_array_equal(truth, dataset.test_labels[row])
    with torch.no_grad():
        logits = courses[median].model.eval()(normalised(kept["images"], np.array(dataset.train_inputs)))
    np.testing.assert_array_equal(kept["prediction"], logits.argmax(dim=1).numpy())


def test_alpha_0_is_plain_cross_entropy_to_the_last_bit(park: Finished) -> None:
    zero, plain = last(park, 0), last(park, 2)
    assert zero.replicates == plain.replicates
    assert zero.replicates != last(park, 1).replicates
    for key in ("train/loss", "val/nll", "val/mean_iou", "val/iou/road_track", "test/mean_iou", "test/nll"):
        history = park.runs.history(park.runs.one(0), key)
        assert history
        assert history == park.runs.history(park.runs.one(2), key)


def test_every_run_keeps_its_predictions_and_the_summary_sets_them_side_by_side(park: Finished) -> None:
    for number in range(3):
        files = {"classes.png", "epochs.parquet", "predictions.npz", "predictions.png"}
        assert park.runs.files(park.runs.one(number)) == files | ({"trajectory.parquet"} if number < 2 else set())
    first, *others = (predictions(park, park.runs.one(number)) for number in range(3))
    for other in others:
        np.testing.assert_array_equal(other["images"], first["images"])
    sizes = [
        Image.open(io.BytesIO(park.runs.file(park.runs.one(which), "predictions.png"))).size for which in (0, "summary")
    ]
    assert sizes[1][0] > sizes[0][0]  # a column more: the best alpha, and the baseline
