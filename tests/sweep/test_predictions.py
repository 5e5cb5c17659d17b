"""Which trials a sweep's picture shows, under which labels, out of the files that their runs keep."""

import json
from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
import pytest
from matplotlib.figure import Figure

from sweep.datasets import DatasetInfo, Datasets
from sweep.errors import NotFound
from sweep.prediction_figure import Predictions
from sweep.predictions import PREDICTIONS, is_dense, predictions_picture
from sweep.problems import parse_sweep
from sweep.resolve import resolve
from sweep.slots import Slot
from sweep.store import DatasetMark, Store, Sweep
from sweep.summary import write_summary
from sweep.tracking import SWEEP_TAG, TRIAL_TAG, Tracking

OPTIONS: dict[str, float | str] = {"size": 16, "images": 20, "classes": 2}
Submit = Callable[..., Sweep]
Told = Callable[..., list[Slot]]
ALPHAS = [0.015625, 0.5]


@pytest.fixture(scope="module")
def shapes(tmp_path_factory: pytest.TempPathFactory) -> DatasetInfo:
    return Datasets(tmp_path_factory.mktemp("shapes")).info("shapes", options=OPTIONS)


@pytest.fixture
def dense(shapes: DatasetInfo, store: Store) -> Submit:
    """Two alphas (trials 0 and 1, and 4 and 5), cross-entropy and focal, at two ratios, over `shapes`."""

    def make(**fields: object) -> Sweep:
        body = {
            "dataset": {"name": "shapes", **OPTIONS}, "imbalance": {"profile": "exponential", "ratios": [1, 10]},
            "alpha": ALPHAS, "baselines": ["cross_entropy", {"name": "focal", "gamma": 3}], "name": "post $1",
            "objective": "mean_iou", **fields,
        }  # fmt: skip
        mark = DatasetMark(classes=shapes.classes, content=shapes.content)
        return store.add(resolve(parse_sweep(json.dumps(body)), shapes), mark)

    return make


def kept(number: int) -> Predictions:
    """What a trial's run keeps: every pixel holds the trial's number, so that pictures can be told apart."""
    images = np.zeros((1, 3, 4, 4), dtype=np.uint8)
    return Predictions(images, np.zeros((1, 4, 4), np.uint8), np.full((1, 4, 4), number, np.uint8), seed=number)


@pytest.fixture
def recorded(tracking: Tracking) -> Callable[[Sweep, list[Slot]], list[Slot]]:
    """Gives every complete trial a run in MLflow that keeps its predictions."""

    def record(sweep: Sweep, slots: list[Slot]) -> list[Slot]:
        experiment_id = tracking.experiment(sweep)
        found = []
        for slot in slots:
            if slot.last is not None:
                for replicate in slot.last.replicates:
                    for scores in (replicate["validation"], replicate["test"]):
                        scores[sweep.spec.objective] = replicate["value"]
                tags = {SWEEP_TAG: sweep.id, TRIAL_TAG: str(slot.number)}
                run_id = tracking.start(experiment_id, name=str(slot.number), params={}, tags=tags)
                tracking.add_artifacts(run_id, {PREDICTIONS: kept(slot.number).as_bytes()})
                tracking.end(run_id, "FINISHED")
                slot = replace(slot, attempts=(replace(slot.last, run_id=run_id),))
            found.append(slot)
        return found

    return record


def headed(figure: Figure) -> list[dict[str, int]]:
    """By scenario the trial that is shown in the column of each head, the truth aside."""
    sections = []
    for part in figure.subfigs:
        shown = {axes.get_title(): axes.get_images()[0].get_array() for axes in part.axes if axes.get_title()}
        assert list(shown)[:2] == ["image", "truth"]
        sections.append({head: int(np.max(data)) for head, data in list(shown.items())[2:] if data is not None})
    return sections


SCORES: dict[int, Sequence[float]] = {
    0: [0.3, 0.4], 1: [0.5, 0.6], 2: [0.2, 0.2], 3: [0.4, 0.4],
    4: [0.7, 0.6], 5: [0.5, 0.6], 6: [0.9, 0.8], 7: [0.4, 0.4],
}  # fmt: skip


def test_each_scenario_shows_its_best_trial_and_every_baseline_by_loss_and_numbers(
    dense: Submit, told: Told, recorded: Callable[..., list[Slot]], tracking: Tracking, drawn: list[Figure],
) -> None:  # fmt: skip
    sweep = dense()
    picture = predictions_picture(sweep, recorded(sweep, told(sweep, SCORES, alphas=ALPHAS)), tracking)
    assert picture.startswith(b"\x89PNG")
    (figure,) = drawn
    assert headed(figure) == [
        {"adaptive\nalpha=0.5": 1, "cross entropy": 2, "focal\ngamma=3": 3},
        {"adaptive\nalpha=0.0156": 4, "cross entropy": 6, "focal\ngamma=3": 7},
    ]
    assert [part.get_suptitle() for part in figure.subfigs] == ["exponential, ratio 1", "exponential, ratio 10"]
    (legend,) = figure.legends
    assert [text.get_text() for text in legend.get_texts()] == ["background", "disc", "square"]


def test_it_says_that_replicates_are_the_median_and_by_what(
    dense: Submit, told: Told, recorded: Callable[..., list[Slot]], tracking: Tracking, drawn: list[Figure],
) -> None:  # fmt: skip
    sweep = dense(objective="iou/disc")
    predictions_picture(sweep, recorded(sweep, told(sweep, {0: [0.3]}, alphas=ALPHAS)), tracking)
    title = drawn[0].get_suptitle().replace(r"\$", "$")
    assert title == "post $1: each trial's median replicate by iou/disc on validation; test images"


def test_scenarios_and_trials_without_results_are_left_out(
    dense: Submit, told: Told, recorded: Callable[..., list[Slot]], tracking: Tracking, drawn: list[Figure],
) -> None:  # fmt: skip
    sweep = dense()
    predictions_picture(sweep, recorded(sweep, told(sweep, {7: [0.3], 4: [0.2]}, alphas=ALPHAS)), tracking)
    assert headed(drawn[0]) == [{"adaptive\nalpha=0.0156": 4, "focal\ngamma=3": 7}]
    assert [part.get_suptitle() for part in drawn[0].subfigs] == ["exponential, ratio 10"]


def test_alpha_0_is_said(
    dense: Submit, told: Told, recorded: Callable[..., list[Slot]], tracking: Tracking, drawn: list[Figure],
) -> None:  # fmt: skip
    sweep = dense(alpha=0, baselines=[], imbalance={"profile": "step", "ratios": [2.5]})
    predictions_picture(sweep, recorded(sweep, told(sweep, {0: [0.3]}, alphas=[0.0])), tracking)
    (column,) = headed(drawn[0])
    assert list(column) == ["adaptive\nalpha=0"]


def test_before_a_trial_is_complete_there_is_nothing_to_show(dense: Submit, told: Told, tracking: Tracking) -> None:
    sweep = dense()
    with pytest.raises(NotFound, match=f"No trial of sweep {sweep.id} is complete yet"):
        predictions_picture(sweep, told(sweep, {}), tracking)


def test_labels_by_sample_have_no_such_picture(submit: Submit, told: Told, tracking: Tracking) -> None:
    sweep = submit(alpha=0.1)
    assert not is_dense(sweep)
    with pytest.raises(NotFound, match=f"Sweep {sweep.id} has one label a sample"):
        predictions_picture(sweep, told(sweep, {0: [0.5]}, alphas=[0.1]), tracking)


def test_a_run_that_lost_its_file_is_named(
    dense: Submit, told: Told, recorded: Callable[..., list[Slot]], tracking: Tracking
) -> None:
    sweep = dense(baselines=[])
    (slot, *others) = recorded(sweep, told(sweep, {0: [0.5]}, alphas=ALPHAS))
    assert slot.last is not None
    empty = tracking.start(tracking.experiment(sweep), name="bare", params={}, tags={})
    tracking.end(empty, "FINISHED")
    bare = replace(slot, attempts=(replace(slot.last, run_id=empty),))
    with pytest.raises(NotFound, match=r"keeps no predictions\.npz"):
        predictions_picture(sweep, [bare, *others], tracking)


def test_the_summary_run_keeps_the_picture(
    dense: Submit, told: Told, recorded: Callable[..., list[Slot]], tracking: Tracking
) -> None:
    sweep = dense()
    slots = recorded(sweep, told(sweep, SCORES, alphas=ALPHAS))
    experiment_id = tracking.experiment(sweep)
    write_summary(sweep, slots, experiment_id=experiment_id, tracking=tracking)
    (run_id,) = tracking.summaries(experiment_id)
    assert tracking.artifact(run_id, "predictions.png").startswith(b"\x89PNG")
