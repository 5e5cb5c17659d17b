"""The picture of a sweep over labels by pixel, and such a sweep, over HTTP."""

import io
from typing import Any

import httpx
import pytest
from PIL import Image

from .running import ENDLESS, Answer, await_state, submit, trials_of

SHAPES: Answer = {
    "dataset": {"name": "shapes", "size": 16, "images": 20, "classes": 1, "noise": 0.05},
    "imbalance": {"profile": "exponential", "ratios": [5]},
    "model": {"name": "unet", "width": 2, "depth": 1},
    "training": {"epochs": 2, "batch_size": 4},
    "replicates": 3,
}


@pytest.fixture(scope="module")
def dense(api: httpx.Client, cancelled: Answer) -> Answer:
    """A finished sweep over shapes that looks for the intersection over union of discs."""
    sweep = submit(api, **SHAPES, alpha=[0.1, 0.5], baselines=["cross_entropy"], objective="iou/disc")
    ended: Answer = await_state(api, sweep["id"])
    return ended


def predictions(api: httpx.Client, sweep: Answer) -> httpx.Response:
    return api.get(f"/v1/sweeps/{sweep['id']}/pictures/predictions")


def test_the_predictions_come_as_a_png(api: httpx.Client, dense: Answer) -> None:
    answer = predictions(api, dense)
    assert (answer.status_code, answer.headers["content-type"]) == (200, "image/png")
    picture = Image.open(io.BytesIO(answer.content))
    assert picture.format == "PNG"
    assert min(picture.size) > 300
    assert len(picture.convert("RGB").getcolors(2**20) or []) > 50


@pytest.mark.parametrize("name", ["answered", "cities"])
def test_a_sweep_over_samples_has_no_such_picture(name: str, api: httpx.Client, request: pytest.FixtureRequest) -> None:
    sweep: Answer = request.getfixturevalue(name)
    answer = predictions(api, sweep)
    assert (answer.status_code, answer.headers["content-type"]) == (404, "application/problem+json")
    assert answer.json()["detail"] == (
        f"Sweep {sweep['id']} has one label a sample; there are no predicted pixels to show."
    )


def test_before_a_trial_is_complete_there_is_none(api: httpx.Client, dense: Answer) -> None:
    running = submit(api, **{**SHAPES, "training": ENDLESS["training"], "alpha": 0.1})
    answer = predictions(api, running)
    api.post(f"/v1/sweeps/{running['id']}/cancel")
    assert (answer.status_code, answer.json()["detail"]) == (404, f"No trial of sweep {running['id']} is complete yet.")


def test_an_unknown_sweep_has_none(api: httpx.Client) -> None:
    assert api.get("/v1/sweeps/nothing/pictures/predictions").status_code == 404


def test_the_sweep_is_shown_as_it_was_asked(api: httpx.Client, dense: Answer) -> None:
    assert (dense["state"], dense["classes"]) == ("finished", ["background", "disc"])
    spec = dense["spec"]
    assert (spec["dataset"], spec["model"]) == (SHAPES["dataset"], SHAPES["model"])
    (scenario,) = dense["scenarios"]
    assert sum(scenario["counts"]) == 16 * 16 * 16  # a fifth of the 20 images validates
    assert scenario["counts"][0] / scenario["counts"][1] == pytest.approx(5, rel=0.05)


@pytest.mark.parametrize("part", ["validation", "test"])
def test_every_replicate_has_its_overlaps(part: str, api: httpx.Client, dense: Answer) -> None:
    for trial in trials_of(api, dense["id"]):
        assert len(trial["replicates"]) == 3
        for replicate in trial["replicates"]:
            scores = replicate[part]
            assert scores["mean_iou"] == pytest.approx((scores["iou/background"] + scores["iou/disc"]) / 2)
            assert {"recall/disc", "balanced_accuracy", "worst_recall", "nll"} <= scores.keys()
        values = [replicate["validation"]["iou/disc"] for replicate in trial["replicates"]]
        assert trial["value"] == pytest.approx(sum(values) / 3)


def test_results_compare_by_the_objective(api: httpx.Client, dense: Answer) -> None:
    found: dict[str, Any] = api.get(dense["links"]["results"]).json()
    assert found["objective"] == "iou/disc"
    (scenario,) = found["scenarios"]
    values = {trial["params"]["alpha"]: trial["value"] for trial in scenario["trials"]}
    assert scenario["best"]["value"] == max(values.values())
    assert scenario["best"]["value"] == pytest.approx(scenario["best"]["validation"]["iou/disc"]["mean"])
    (gain,) = scenario["gains"]
    assert (gain["baseline"], gain["metric"]) == ("cross_entropy", "iou/disc")


def test_the_mean_overlap_may_be_the_objective(api: httpx.Client, dense: Answer) -> None:
    sweep = submit(api, **{**SHAPES, "replicates": 1, "alpha": 0.1, "objective": "mean_iou", "pruner": "median"})
    ended = await_state(api, sweep["id"])
    (trial,) = trials_of(api, sweep["id"])
    assert (ended["state"], trial["state"]) == ("finished", "complete")
    assert trial["value"] == pytest.approx(trial["replicates"][0]["validation"]["mean_iou"])


def test_the_importance_of_every_class_is_told_by_step(api: httpx.Client, dense: Answer) -> None:
    found = api.get(f"{dense['links']['trials']}/0/importance").json()
    assert found["classes"] == ["background", "disc"]
    assert len(found["replicates"]) == 3
