"""Bodies that cannot be run: each is refused with the field, the problem and what was expected, and leaves no trace."""

import json
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import httpx
import pytest

from .running import Answer, Up, wait_for

GOOD: Answer = {"dataset": "digits", "imbalance": {"profile": "exponential", "ratios": [1, 10]}}
EXPONENTIAL = {"profile": "exponential", "ratios": [1]}

UNKNOWN = [
    ({"alhpa": 0.1}, "alhpa", "There is no key 'alhpa' here.", "alpha (did you mean that?), or one of dataset,"),
    ({"training": {"epoch": 3}}, "training.epoch", "no key 'epoch'", "epochs (did you mean that?)"),
    ({"imbalance": {**EXPONENTIAL, "head": 9}}, "imbalance.head", "no key 'head'", "one of profile, ratios, n_max"),
    ({"alpha": {"low": 0.1, "high": 0.2, "lag": 1}}, "alpha.lag", "no key 'lag'", "log (did you mean that?)"),
    ({"loss": "dice"}, "loss", "no loss is called 'dice'", "one of adaptive, cross_entropy, focal"),
    ({"loss": {"name": "focal", "beta": 1}}, "loss", "focal takes no 'beta'", "only gamma"),
    ({"baselines": ["focal", "dice"]}, "baselines[1]", "no loss is called 'dice'", "one of adaptive"),
    ({"sampler": "bayes"}, "sampler", "'tpe', 'random', 'grid', 'qmc', 'cmaes' or 'gp'", "one of 'tpe'"),
    ({"pruner": "asha"}, "pruner", "'none', 'median' or 'hyperband'", "one of 'none'"),
    ({"model": "vgg"}, "model", "no model is called 'vgg'", "one of auto, linear, mlp"),
    (
        {"objective": "accuracy"},
        "objective",
        "no objective is called 'accuracy'",
        "one of balanced_accuracy, worst_recall",
    ),
    ({"imbalance": {"profile": "long", "ratios": [1]}}, "imbalance.profile", "'exponential', 'step'", "one of"),
    ({"search": {"depth": [1, 2]}}, "search.depth", "none of adaptive takes a parameter 'depth'", "lr, weight_decay"),
]
BOUNDS = [
    ({"alpha": {"low": 0.5, "high": 0.1}}, "alpha", "low 0.5 is above high 0.1", "low not above high"),
    ({"alpha": {"low": 0, "high": 1, "log": True}}, "alpha", "cannot start at 0", "low above 0, or log false"),
    ({"alpha": 1.5}, "alpha", "alpha 1.5 is out of bounds", "a number in [0, 1]"),
    ({"alpha": -0.001}, "alpha", "alpha -0.001 is out of bounds", "a number in [0, 1]"),
    ({"alpha": [0.5, 3]}, "alpha", "alpha 3 is out of bounds", "a number in [0, 1]"),
    ({"alpha": {"low": 0.5, "high": 2}}, "alpha", "alpha 2 is out of bounds", "a number in [0, 1]"),
    ({"alpha": [0.1, 0.1]}, "alpha", "lists a value twice", "each value once"),
    ({"imbalance": {"profile": "step", "ratios": [1, 0.5]}}, "imbalance.ratios[1]", "equal to 1", "at least 1"),
    ({"imbalance": {"profile": "step", "ratios": []}}, "imbalance.ratios", "at least 1 item", "at least 1 item"),
    ({"imbalance": {"profile": "step", "ratios": [5, 5]}}, "imbalance", "repeat", "each ratio once"),
    ({"search": {"lr": {"low": 0, "high": 0.1}}}, "search.lr", "lr 0 is out of bounds", "a number in (0, 10]"),
    ({"replicates": 0}, "replicates", "equal to 1", "at least 1"),
    ({"seed": -1}, "seed", "equal to 0", "at least 0"),
    ({"trials": 0}, "trials", "equal to 1", "at least 1"),
    ({"trials": 10_001}, "trials", "equal to 10000", "at most 10000"),
    ({"training": {"epochs": 3, "warmup_epochs": 4}}, "training", "warmup_epochs 4 exceed epochs 3", "within"),
]
BUDGET = [
    ({"alpha": [0.1, 0.2, 0.3], "trials": 2}, "trials", "grid has 3 points, and 2 trials are asked", "trials 3"),
    ({"alpha": 0.1, "trials": 2}, "trials", "nothing varies", "trials 1"),
    (
        {"trials": 10_000, "imbalance": {"profile": "exponential", "ratios": [1, 2, 3, 4, 5, 6]}},
        "trials", "the sweep would have 60000 trials", "at most 50000 in all",
    ),
    ({"baselines": ["focal", "focal"]}, "baselines", "focal stands twice", "each loss once"),
    ({"loss": "focal", "alpha": 0.1}, "alpha", "focal has no alpha", "importance"),
]  # fmt: skip
DATA = [
    (
        {"imbalance": {"profile": "exponential", "ratios": [1, 1000]}},
        "imbalance.ratios", "At ratio 1000 with 105 samples in the largest class, 3 of 10 classes would have none",
        "a ratio of at most 105",
    ),
    (
        {"imbalance": {**EXPONENTIAL, "n_max": 200}},
        "imbalance.n_max", "Class '0' needs 200 samples and has 108", "ask for fewer samples",
    ),
    ({"validation": {"per_class": 131}}, "validation.per_class", "131 validation samples", "at most 130"),
    ({"dataset": "digitz"}, "dataset", "data set is called 'digitz'", "one of toy2d, digits"),
    ({"dataset": "../digits"}, "dataset", "data set is called '../digits'", "one of toy2d, digits"),
    ({"dataset": "/digits"}, "dataset", "data set is called '/digits'", "one of toy2d, digits"),
    ({"dataset": "http://localhost/x.csv"}, "dataset", "called 'http://localhost/x.csv'", "one of toy2d, digits"),
    ({"dataset": "broken"}, "dataset", "its folder holds notes.txt", "files that can be read"),
    ({"model": "resnet32"}, "model", "resnet32 takes no vectors, which digits has", "auto or one of linear, mlp"),
    ({"class_order": ["0", "1"]}, "class_order", "does not name each class once", "an order of 0, 1, 2"),
    (
        {"imbalance": {"profile": "counts", "counts": {"0": 5, "zebra": 5}}},
        "imbalance.counts", "differ by 1, 2, 3", "a count for each of 0, 1, 2",
    ),
]  # fmt: skip
TYPES = [
    ({"dataset": 7}, "dataset", "7 is no name", "a name, or an object"),
    ({"trials": "8"}, "trials", "valid integer", "a whole number"),
    ({"trials": 2.5}, "trials", "valid integer", "a whole number"),
    ({"trials": True}, "trials", "valid integer", "a whole number"),
    ({"alpha": "0.1"}, "alpha", "valid number", "a number"),
    ({"imbalance": "exponential"}, "imbalance", "valid dictionary", "an object"),
    ({"imbalance": {"profile": "step", "ratios": ["10"]}}, "imbalance.ratios[0]", "valid number", "a number"),
    ({"baselines": "focal"}, "baselines", "valid list", "a list"),
    ({"training": {"nesterov": "yes"}}, "training.nesterov", "valid boolean", "true or false"),
]


@pytest.fixture(scope="module")
def untouched(service: Up, api: httpx.Client, mlflow: httpx.Client, stripes: Answer) -> Iterator[None]:
    """Everything that a body might leave, the same after all tests of this module as before them."""
    api.get("/v1/datasets")  # what is prepared on the way is prepared before
    wait_for(lambda: not _open(api), within_s=60, what="the sweeps of other tests to end")
    before = traces(service, api, mlflow)
    assert before["sweeps"]
    yield
    assert traces(service, api, mlflow) == before


def traces(service: Up, api: httpx.Client, mlflow: httpx.Client) -> dict[str, Any]:
    """Sweeps, Optuna's studies and trials, MLflow's experiments, and the data folder's files."""
    with closing(sqlite3.connect(service.data_dir / "evenhand.db")) as database:
        tables = ("evenhand_sweeps", "studies", "trials")
        rows = {table: database.execute(f"SELECT COUNT(*) FROM {table}").fetchone()[0] for table in tables}
    sought = mlflow.post("/api/2.0/mlflow/experiments/search", json={"max_results": 1000}).json()
    return {
        "sweeps": [sweep["id"] for sweep in api.get("/v1/sweeps", params={"limit": 200}).json()["items"]],
        "rows": rows,
        "experiments": sorted(experiment["name"] for experiment in sought["experiments"]),
        "files": {file: file.stat().st_size for file in _kept(service.data_dir)},
    }


@pytest.mark.usefixtures("untouched")
@pytest.mark.parametrize(("change", "field", "problem", "expected"), UNKNOWN + BOUNDS + BUDGET + DATA + TYPES, ids=str)
def test_a_body_that_cannot_be_run_is_refused_by_field_problem_and_remedy(
    change: Answer, field: str, problem: str, expected: str, api: httpx.Client
) -> None:
    answer = api.post("/v1/sweeps", json=GOOD | change)
    assert (answer.status_code, answer.headers["content-type"]) == (422, "application/problem+json")
    refusal = answer.json()
    assert {"type", "title", "status", "detail", "errors"} == refusal.keys()
    assert refusal["status"] == 422
    error = refusal["errors"][0]
    assert (error["field"], error.keys()) == (field, {"field", "problem", "expected"})
    assert problem in error["problem"]
    assert expected in error["expected"]
    assert problem in refusal["detail"]


@pytest.mark.usefixtures("untouched")
@pytest.mark.parametrize(
    ("key", "expected"), [("dataset", "the name of a data set"), ("imbalance", "an imbalance, such as {")]
)
def test_what_is_required_is_named_where_it_is_missing(key: str, expected: str, api: httpx.Client) -> None:
    answer = api.post("/v1/sweeps", json={name: value for name, value in GOOD.items() if name != key})
    (error,) = answer.json()["errors"]
    assert (answer.status_code, error["field"]) == (422, key)
    assert error["expected"].startswith(expected)


@pytest.mark.usefixtures("untouched")
def test_everything_that_is_wrong_is_named_at_once(api: httpx.Client) -> None:
    body = GOOD | {"alpha": 7, "trials": "many", "sampler": "bayes", "nope": None}
    answer = api.post("/v1/sweeps", json=body)
    assert {error["field"] for error in answer.json()["errors"]} == {"alpha", "trials", "sampler", "nope"}


@pytest.mark.usefixtures("untouched")
@pytest.mark.parametrize("body", ["", "{", "[]", "null", "17", '"digits"', json.dumps(GOOD)[:-1], "\N{SNOWMAN}"])
def test_a_body_that_is_no_json_object_is_refused(body: str, api: httpx.Client) -> None:
    answer = api.post("/v1/sweeps", content=body.encode(), headers={"content-type": "application/json"})
    assert (answer.status_code, answer.headers["content-type"]) == (422, "application/problem+json")
    (error,) = answer.json()["errors"]
    assert error["problem"]
    assert error["expected"].startswith(("an object", "a body that is valid JSON"))


@pytest.mark.usefixtures("untouched")
@pytest.mark.parametrize("number", ["NaN", "Infinity", "1e999"])
def test_numbers_that_are_not_finite_are_refused(number: str, api: httpx.Client) -> None:
    body = f'{{"dataset": "digits", "imbalance": {{"profile": "step", "ratios": [1]}}, "alpha": {number}}}'
    answer = api.post("/v1/sweeps", content=body, headers={"content-type": "application/json"})
    (error,) = answer.json()["errors"]
    assert (answer.status_code, error["field"], error["expected"]) == (422, "alpha", "a finite number")


@pytest.mark.parametrize(
    ("query", "field"), [("state=odd", "query.state"), ("limit=0", "query.limit"), ("limit=x", "query.limit")]
)
def test_a_query_that_cannot_be_answered_is_refused_too(query: str, field: str, api: httpx.Client) -> None:
    answer = api.get(f"/v1/sweeps?{query}")
    assert (answer.status_code, answer.json()["errors"][0]["field"]) == (422, field)


@pytest.mark.parametrize("place", ["/a%00b", "/a%00b/trials", "?name=%00", "?cursor=%00"])
def test_nothing_has_a_nul_in_its_name_on_any_database(place: str, api: httpx.Client) -> None:
    answer = api.get(f"/v1/sweeps{place}")
    assert (answer.status_code, answer.json()["detail"]) == (404, "Nothing has a NUL character in its name.")


def _open(api: httpx.Client) -> list[Answer]:
    pages = [api.get("/v1/sweeps", params={"state": state}).json() for state in ("queued", "running")]
    return [sweep for page in pages for sweep in page["items"]]


def _kept(folder: Path) -> list[Path]:
    """The files of a data folder but for logs, databases' side files and half uploads, which change by themselves."""
    files = (file for file in folder.rglob("*") if file.is_file() and "logs" not in file.parts)
    return sorted(file for file in files if ".db" not in file.name and not file.name.startswith("."))


@pytest.mark.parametrize("body", ["{", '{"dataset": digits}'])
def test_a_body_that_is_not_json_is_named_as_the_body(body: str, api: httpx.Client) -> None:
    answer = api.post("/v1/sweeps", content=body, headers={"content-type": "application/json"})
    assert answer.json()["errors"][0]["field"] == "body"


def test_a_missing_content_type_is_named(api: httpx.Client) -> None:
    body = '{"dataset": "digits", "imbalance": {"profile": "exponential", "ratios": [1]}}'
    answer = api.post("/v1/sweeps", content=body, headers={"content-type": "application/x-www-form-urlencoded"})
    assert answer.status_code == 422
    assert "application/json" in answer.json()["errors"][0]["expected"]
