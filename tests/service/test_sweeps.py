"""Sweeps over HTTP: submitted, shown, listed, cancelled, and what they answer."""

from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest

from .running import ENDLESS, Answer, await_state, submit

EVEN = [105] * 10
"""digits at ratio 1: its smallest class has 131 samples to draw from, a fifth of which (26) validate."""
FALLING = [105, 81, 62, 48, 37, 29, 22, 17, 13, 10]
"""The same at ratio 10: int(105 * 10 ** (-c / 9)) for c from 0 to 9."""


def test_a_submission_is_answered_with_its_place_and_every_default_filled_in(api: httpx.Client) -> None:
    body = {
        "dataset": "digits",
        "imbalance": {"profile": "exponential", "ratios": [1, 10, 50]},
        "alpha": {"low": 0.001, "high": 1.0, "log": True},
        "trials": 8,
    }
    answer = api.post("/v1/sweeps", json=body)
    assert answer.status_code == 201
    sweep = answer.json()
    assert api.post(f"/v1/sweeps/{sweep['id']}/cancel").status_code == 200
    assert answer.headers["Location"] == sweep["links"]["self"] == f"/v1/sweeps/{sweep['id']}"
    assert sweep["name"] == sweep["spec"]["name"] == "digits exponential"
    assert (sweep["state"], sweep["wanted"], sweep["ended_at"], sweep["links"]["mlflow"]) == (
        "queued",
        "run",
        None,
        None,
    )
    assert abs(datetime.fromisoformat(sweep["created_at"]) - datetime.now(UTC)) < timedelta(minutes=1)
    assert sweep["progress"] == counts(total=24, waiting=24)
    training = sweep["spec"].pop("training")
    assert sweep["spec"] == {
        "dataset": "digits",
        "name": "digits exponential",
        "imbalance": {
            "profile": "exponential", "ratios": [1.0, 10.0, 50.0], "n_max": None, "minority": 0.5, "counts": None,
        },
        "loss": {"name": "adaptive"},
        "alpha": {"low": 0.001, "high": 1.0, "log": True, "steps": None},
        "baselines": [],
        "model": "mlp",
        "search": {},
        "trials": 8,
        "sampler": "tpe",
        "pruner": "none",
        "replicates": 3,
        "seed": 0,
        "objective": "balanced_accuracy",
        "class_order": "label",
        "validation": {"scheme": "balanced_holdout", "per_class": 26, "fraction": 0.2},
    }  # fmt: skip
    assert (training["epochs"], training["batch_size"], training["optimizer"], training["lr"]) == (
        30,
        64,
        "adamw",
        0.002,
    )
    assert [name for name, value in training.items() if value is None] == []
    assert api.get(answer.headers["Location"]).json()["spec"]["training"] == training


def test_a_resolved_spec_can_be_submitted_again_and_resolves_to_itself(api: httpx.Client, answered: Answer) -> None:
    again = submit(api, **answered["spec"] | {"name": "once more"})
    api.post(f"/v1/sweeps/{again['id']}/cancel")
    assert again["id"] != answered["id"]
    assert again["spec"] | {"name": answered["name"]} == answered["spec"]
    assert again["scenarios"] == answered["scenarios"]


def test_a_sweep_shows_its_scenarios_progress_and_links(api: httpx.Client, answered: Answer) -> None:
    assert answered["state"] == "finished"
    assert answered["name"] == "the answered one"
    assert answered["classes"] == list("0123456789")
    assert answered["scenarios"] == [
        {"profile": "exponential", "ratio": 1, "counts": EVEN},
        {"profile": "exponential", "ratio": 10, "counts": FALLING},
    ]
    assert answered["progress"] == counts(total=10, complete=10)
    assert datetime.fromisoformat(answered["ended_at"]) > datetime.fromisoformat(answered["created_at"])
    links = answered["links"]
    assert all(api.get(links[name]).status_code == 200 for name in ("self", "trials", "results"))
    assert links["mlflow"].endswith("/runs?workflowType=machine_learning")


def test_the_list_is_paged_by_cursor_from_the_newest_on(api: httpx.Client, stripes: Answer) -> None:
    whole = api.get("/v1/sweeps").json()
    assert whole["next_cursor"] is None
    created = [sweep["created_at"] for sweep in whole["items"]]
    assert created == sorted(created, reverse=True)
    paged: list[str] = []
    cursor: str | None = None
    while cursor or not paged:
        page = api.get("/v1/sweeps", params={"limit": 3, **({"cursor": cursor} if cursor else {})}).json()
        assert 0 < len(page["items"]) <= 3
        paged += [sweep["id"] for sweep in page["items"]]
        cursor = page["next_cursor"]
    assert paged == [sweep["id"] for sweep in whole["items"]]
    assert len(paged) > 3


def test_the_list_is_narrowed_by_state_and_by_name(api: httpx.Client, cancelled: Answer, answered: Answer) -> None:
    def ids(**params: str) -> set[str]:
        return {sweep["id"] for sweep in api.get("/v1/sweeps", params=params).json()["items"]}

    assert ids(name="the answered one") == {answered["id"]}
    assert ids(name="%") == set()
    finished, ended = ids(state="finished"), ids(state="cancelled")
    assert answered["id"] in finished - ended
    assert cancelled["id"] in ended - finished
    assert ids(state="finished", name="endless") == set()


@pytest.mark.parametrize("path", ["", "/trials", "/results", "/trials/0", "/trials/0/importance"])
def test_an_unknown_sweep_is_not_found(path: str, api: httpx.Client) -> None:
    problem = api.get(f"/v1/sweeps/20200101-00000000{path}")
    assert_problem(problem, 404, "No sweep has the id '20200101-00000000'. GET /v1/sweeps lists them.")


def test_nobody_cancels_a_sweep_that_is_not_there(api: httpx.Client) -> None:
    assert_problem(api.post("/v1/sweeps/gone/cancel"), 404, "No sweep has the id 'gone'. GET /v1/sweeps lists them.")


@pytest.mark.parametrize(
    ("method", "path", "status"), [("GET", "/v2/sweeps", 404), ("DELETE", "/v1/sweeps", 405), ("PUT", "/healthz", 405)]
)
def test_routes_that_are_not_there_answer_with_a_problem_too(
    method: str, path: str, status: int, api: httpx.Client
) -> None:
    answer = api.request(method, path)
    assert_problem(answer, status, f"{answer.json()['title']}. /docs lists what there is.")


def test_cancelling_ends_what_runs_and_what_waits(api: httpx.Client, cancelled: Answer) -> None:
    assert (cancelled["state"], cancelled["wanted"]) == ("cancelled", "cancel")
    assert cancelled["progress"] == counts(total=4, cancelled=4)
    trials = api.get(cancelled["links"]["trials"]).json()["items"]
    assert {trial["reason"] for trial in trials} == {"The sweep was cancelled."}
    assert any(trial["attempts"][0]["worker"] for trial in trials)
    assert all(trial["value"] is None and trial["links"]["importance"] is None for trial in trials)
    results = api.get(cancelled["links"]["results"]).json()
    assert results["state"] == "cancelled"
    assert (results["scenarios"][0]["best"], results["scenarios"][0]["baselines"]) == (None, [])


def test_a_sweep_that_has_ended_cannot_be_cancelled(api: httpx.Client, cancelled: Answer, answered: Answer) -> None:
    for sweep, state in ((cancelled, "cancelled"), (answered, "finished")):
        problem = api.post(f"/v1/sweeps/{sweep['id']}/cancel")
        reason = f"Sweep {sweep['id']} is {state}; only a sweep that has not ended can be cancelled."
        assert_problem(problem, 409, reason)
        assert api.get(f"/v1/sweeps/{sweep['id']}").json() == sweep


def test_cancelling_before_anything_ran_leaves_an_empty_ended_sweep(api: httpx.Client, cancelled: Answer) -> None:
    sweep = submit(api, **ENDLESS | {"trials": 3})
    answer = api.post(f"/v1/sweeps/{sweep['id']}/cancel").json()
    assert (answer["id"], answer["wanted"]) == (sweep["id"], "cancel")
    ended = await_state(api, sweep["id"], within_s=30)
    assert ended["state"] == "cancelled"
    assert ended["progress"] == counts(total=3, cancelled=3)


def test_a_sweep_in_which_no_trial_ends_well_has_failed(api: httpx.Client) -> None:
    sweep = submit(
        api, dataset="toy2d", imbalance={"profile": "exponential", "ratios": [1], "n_max": 30}, alpha=0.5,
        training={"epochs": 1, "optimizer": "sgd", "lr": 10.0, "batch_size": 2}, replicates=1,
        search={"weight_decay": [1.0]}, model="mlp",
    )  # fmt: skip
    ended = await_state(api, sweep["id"])
    assert ended["progress"]["total"] == 1
    (trial,) = api.get(ended["links"]["trials"]).json()["items"]
    assert (ended["state"], trial["state"]) == ("failed", "failed")
    assert trial["attempts"][-1]["outcome"] == "failed"
    assert "alpha 0.5" in trial["reason"]


def test_a_users_table_with_names_of_all_kinds_is_swept_as_it_is(api: httpx.Client, cities: Answer) -> None:
    assert cities["state"] == "finished"
    assert cities["progress"] == counts(total=2, complete=2)  # two alphas are a grid of two
    assert cities["classes"] == sorted(cities["classes"])
    assert "La Chaux-de-Fonds" in cities["classes"]
    (scenario,) = cities["scenarios"]
    assert scenario["profile"] == "natural"
    assert scenario["ratio"] == pytest.approx(max(scenario["counts"]) / min(scenario["counts"]))
    assert dict(zip(cities["classes"], scenario["counts"], strict=True))["Zürich"] == max(scenario["counts"])


def test_a_users_images_of_another_shape_are_swept_with_a_model_for_images(stripes: Answer) -> None:
    assert (stripes["state"], stripes["spec"]["model"]) == ("finished", "small_cnn")
    assert stripes["classes"] == ["high", "low", "middle"]


def counts(*, total: int, **states: int) -> dict[str, int]:
    """A progress of so many trials in the states named and none in the others."""
    none = dict.fromkeys(("waiting", "running", "complete", "pruned", "failed", "cancelled"), 0)
    return {"total": total, **none, **states}


def assert_problem(answer: httpx.Response, status: int, detail: str) -> None:
    """Asserts that an answer is a problem as RFC 9457 has it."""
    assert (answer.status_code, answer.headers["content-type"]) == (status, "application/problem+json")
    problem: dict[str, Any] = answer.json()
    assert {"type", "title", "status", "detail"} <= problem.keys()
    assert (problem["status"], problem["detail"]) == (status, detail)
