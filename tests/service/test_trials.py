"""Trials, trajectories and results over HTTP, of a sweep that has been answered."""

import io
from datetime import datetime
from typing import Any

import httpx
import pandas as pd
import pytest

from .running import Answer, trials_of

PARQUET = "application/vnd.apache.parquet"
STEPS = 2 * 17
"""Two epochs of 1050 samples in batches of 64: 16 full ones and one of 26."""


def test_trials_are_numbered_through_the_studies_the_swept_loss_first(api: httpx.Client, answered: Answer) -> None:
    trials = trials_of(api, answered["id"])
    assert [trial["number"] for trial in trials] == list(range(10))
    study = ["adaptive"] * 3 + ["cross_entropy", "focal"]
    assert [trial["loss"] for trial in trials] == study * 2
    assert [trial["scenario"]["ratio"] for trial in trials] == [1] * 5 + [10] * 5
    assert {trial["scenario"]["profile"] for trial in trials} == {"exponential"}
    assert {trial["state"] for trial in trials} == {"complete"}


def test_a_baselines_params_hold_no_alpha(api: httpx.Client, answered: Answer) -> None:
    trials = trials_of(api, answered["id"])
    alphas = [trial["params"].pop("alpha") for trial in trials if trial["loss"] == "adaptive"]
    assert all(0.01 <= alpha <= 1.0 for alpha in alphas)
    assert alphas[:3] == alphas[3:]  # a random sampler's points depend on seed and number alone
    assert len(set(alphas)) == 3
    by_loss = {trial["loss"]: trial["params"] for trial in trials}
    assert by_loss == {
        "adaptive": {"label_smoothing": 0.0}, "cross_entropy": {"label_smoothing": 0.0}, "focal": {"gamma": 1.0},
    }  # fmt: skip


def test_a_trials_value_is_the_mean_over_its_replicates(api: httpx.Client, answered: Answer) -> None:
    for trial in trials_of(api, answered["id"]):
        first, second = trial["replicates"]
        assert (first["seed"], second["seed"]) == (500, 501)
        assert trial["value"] == pytest.approx((first["value"] + second["value"]) / 2, abs=1e-12)
        assert first["value"] == first["validation"]["balanced_accuracy"]
        assert {"balanced_accuracy", "worst_recall", "macro_f1", "recall/0", "recall/9"} <= first["test"].keys()
        recalls = [first["validation"][f"recall/{digit}"] for digit in range(10)]
        assert first["value"] == pytest.approx(sum(recalls) / 10, abs=1e-12)
        assert first["validation"]["worst_recall"] == min(recalls)


def test_an_undisturbed_trial_has_one_attempt_with_who_and_when(api: httpx.Client, answered: Answer) -> None:
    for trial in trials_of(api, answered["id"]):
        (attempt,) = trial["attempts"]
        assert (attempt["outcome"], attempt["reason"], trial["reason"]) == ("complete", None, None)
        assert attempt["worker"]
        started, ended = (datetime.fromisoformat(attempt[name]) for name in ("started_at", "ended_at"))
        assert datetime.fromisoformat(answered["created_at"]) < started < ended


def test_one_trial_is_shown_as_it_is_listed(api: httpx.Client, answered: Answer) -> None:
    listed = trials_of(api, answered["id"])[7]
    assert api.get(f"{answered['links']['trials']}/7").json() == listed


def test_trials_are_paged(api: httpx.Client, answered: Answer) -> None:
    first = api.get(answered["links"]["trials"], params={"limit": 6}).json()
    second = api.get(answered["links"]["trials"], params={"limit": 6, "cursor": first["next_cursor"]}).json()
    assert second["next_cursor"] is None
    assert [trial["number"] for page in (first, second) for trial in page["items"]] == list(range(10))
    assert len(first["items"]) == 6


@pytest.mark.parametrize("path", ["/10", "/-1", "/10/importance"])
def test_a_number_that_the_sweep_lacks_is_not_found(path: str, api: httpx.Client, answered: Answer) -> None:
    answer = api.get(answered["links"]["trials"] + path)
    number = path.split("/")[1]
    assert (answer.status_code, answer.headers["content-type"]) == (404, "application/problem+json")
    assert answer.json()["detail"] == f"Sweep {answered['id']} has no trial {number}. Its trials are 0 to 9."


def test_links_lead_to_the_trajectory_and_to_the_run_in_mlflow(
    api: httpx.Client, mlflow: httpx.Client, answered: Answer
) -> None:
    for trial in trials_of(api, answered["id"]):
        swept = trial["loss"] == "adaptive"
        assert (trial["links"]["importance"] is not None) == swept
        if swept:
            assert trial["links"]["importance"] == f"{answered['links']['trials']}/{trial['number']}/importance"
            assert api.get(trial["links"]["importance"]).status_code == 200
        run_id = trial["links"]["mlflow"].rsplit("/", 1)[1]
        run = mlflow.get("/api/2.0/mlflow/runs/get", params={"run_id": run_id}).json()["run"]
        assert run["info"]["status"] == "FINISHED"
        assert run["info"]["run_name"].endswith(f"#{trial['number']}")
        assert f"/experiments/{run['info']['experiment_id']}/" in trial["links"]["mlflow"]


def test_the_trajectory_is_the_same_in_json_csv_and_parquet(api: httpx.Client, answered: Answer) -> None:
    path = f"{answered['links']['trials']}/1/importance"
    as_json, as_csv, as_parquet = (
        api.get(path, headers={"accept": accept}) for accept in ("application/json", "text/csv", PARQUET)
    )
    kinds = [answer.headers["content-type"].split(";")[0] for answer in (as_json, as_csv, as_parquet)]
    assert kinds == ["application/json", "text/csv", PARQUET]
    table = pd.read_parquet(io.BytesIO(as_parquet.content))
    weights = [f"importance/{digit}" for digit in range(10)]
    assert list(table.columns) == ["replicate", "seed", "epoch", "step", *weights]
    assert len(table) == 2 * STEPS
    assert set(table[weights].dtypes.astype(str)) == {"float32"}
    csv = pd.read_csv(io.StringIO(as_csv.text))
    pd.testing.assert_frame_equal(csv.astype(dict(table.dtypes)), table, check_exact=True)
    answer = as_json.json()
    alpha = api.get(f"{answered['links']['trials']}/1").json()["params"]["alpha"]
    assert (answer["trial"], answer["alpha"], answer["classes"]) == (1, alpha, list("0123456789"))
    assert [replicate["seed"] for replicate in answer["replicates"]] == [500, 501]
    for number, replicate in enumerate(answer["replicates"]):
        rows = table[table["replicate"] == number]
        assert replicate["step"] == rows["step"].tolist() == list(range(1, STEPS + 1))
        assert replicate["epoch"] == rows["epoch"].tolist() == [1] * 17 + [2] * 17
        assert replicate["importance"] == rows[weights].astype(float).to_numpy().tolist()
    assert table[weights].nunique().min() > 1


def test_a_loss_without_importance_has_no_trajectory(api: httpx.Client, answered: Answer) -> None:
    answer = api.get(f"{answered['links']['trials']}/3/importance")
    assert answer.status_code == 404
    assert answer.json()["detail"] == "Trial 3 was trained with cross_entropy, which has no importance."


def test_a_trial_that_was_cancelled_shows_no_trajectory_but_says_why(api: httpx.Client, cancelled: Answer) -> None:
    for trial in trials_of(api, cancelled["id"]):
        answer = api.get(f"{cancelled['links']['trials']}/{trial['number']}/importance")
        assert (answer.status_code, answer.headers["content-type"]) == (404, "application/problem+json")


def test_results_name_the_best_and_the_baselines_of_every_scenario(api: httpx.Client, answered: Answer) -> None:
    results = api.get(answered["links"]["results"]).json()
    trials = trials_of(api, answered["id"])
    assert (results["sweep"], results["name"], results["state"]) == (answered["id"], "the answered one", "finished")
    assert (results["objective"], results["replicates"]) == ("balanced_accuracy", 2)
    assert results["classes"] == list("0123456789")
    assert [[s["profile"], s["ratio"], s["counts"]] for s in results["scenarios"]] == [
        [s["profile"], s["ratio"], s["counts"]] for s in answered["scenarios"]
    ]
    for scenario, swept in zip(results["scenarios"], (trials[:3], trials[5:8]), strict=True):
        best = max(swept, key=lambda trial: trial["value"])
        assert (scenario["best"]["loss"], scenario["best"]["trial"]) == ("adaptive", best["number"])
        assert scenario["best"]["params"] == best["params"]
        assert [row["trial"] for row in scenario["trials"]] == [trial["number"] for trial in swept]
        after = swept[-1]["number"] + 1
        assert [[row["loss"], row["trial"]] for row in scenario["baselines"]] == [
            ["cross_entropy", after], ["focal", after + 1],
        ]  # fmt: skip
        equals = scenario["indistinguishable"]
        assert best["params"]["alpha"] in equals["alphas"]
        assert (equals["low"], equals["high"]) == (min(equals["alphas"]), max(equals["alphas"]))
        assert [gain["baseline"] for gain in scenario["gains"]] == ["cross_entropy", "focal"]


def test_scores_are_means_with_a_students_t_interval_over_the_replicates(api: httpx.Client, answered: Answer) -> None:
    scenario = api.get(answered["links"]["results"]).json()["scenarios"][1]
    for row in (scenario["best"], *scenario["baselines"]):
        trial = api.get(f"{answered['links']['trials']}/{row['trial']}").json()
        for part in ("validation", "test"):
            for metric in ("balanced_accuracy", "worst_recall", "recall/9"):
                first, second = (replicate[part][metric] for replicate in trial["replicates"])
                # Of two values the standard error is half their distance; t(0.975, 1) = 12.7062047.
                assert_score(row[part][metric], (first + second) / 2, half=12.7062047 * abs(first - second) / 2)


def test_one_replicate_claims_no_interval(api: httpx.Client, stripes: Answer) -> None:
    (scenario,) = api.get(stripes["links"]["results"]).json()["scenarios"]
    score = scenario["best"]["validation"]["balanced_accuracy"]
    assert (score["low"], score["high"], score["n"]) == (None, None, 1)


def assert_score(score: dict[str, Any], mean: float, *, half: float) -> None:
    """Asserts a score over two replicates."""
    assert score["n"] == 2
    assert [score["mean"], score["low"], score["high"]] == pytest.approx([mean, mean - half, mean + half], abs=1e-6)
