"""The summary of a sweep: its files, its table, and that it is written once."""

import json
from collections.abc import Callable

import httpx
import pytest

from sweep.results import Results, results
from sweep.slots import Slot
from sweep.store import Sweep
from sweep.summary import artifacts, markdown, write_summary
from sweep.tracking import Tracking

Submit = Callable[..., Sweep]
Told = Callable[..., list[Slot]]
TABLE = """\
# mine

## exponential, ratio 10

| | validation | test |
|---|---|---|
| #1 adaptive alpha=0.2, label_smoothing=0 | 0.800 [0.800, 0.800] | 0.700 [0.700, 0.700] |
| #2 focal gamma=2 | 0.500 [0.500, 0.500] | 0.600 [0.600, 0.600] |

- adaptive and focal differ by +10.0 points in each of 2 replicates: the score is too coarse to say how sure that is.

"""


@pytest.fixture
def sweep(submit: Submit) -> Sweep:
    one_ratio = {"profile": "exponential", "ratios": [10]}
    return submit(alpha=[0.1, 0.2], imbalance=one_ratio, baselines=["focal"], replicates=2, name="mine")


@pytest.fixture
def slots(sweep: Sweep, told: Told) -> list[Slot]:
    scores = {0: [0.3, 0.3], 1: [0.8, 0.8], 2: [0.5, 0.5]}
    return told(sweep, scores, tests={1: [0.7, 0.7], 2: [0.6, 0.6]}, alphas=[0.1, 0.2])


@pytest.fixture
def found(sweep: Sweep, slots: list[Slot]) -> Results:
    return results(sweep, slots)


def test_the_table_shows_best_baselines_verdicts_and_notes(found: Results) -> None:
    table, notes = markdown(found).split("\n> ", 1)
    assert table + "\n" == TABLE
    assert "With 2 replicates a sign-flip test cannot give a two-sided p below 0.5." in notes


def test_without_an_interval_none_is_shown(submit: Submit, told: Told) -> None:
    sweep = submit(alpha=0.5, replicates=1)
    text = markdown(results(sweep, told(sweep, {0: [0.8]}, alphas=[0.5])))
    assert "| #0 adaptive alpha=0.5, label_smoothing=0 | 0.800 | 0.800 |" in text


def test_the_files_hold_the_results_and_the_whole_request(found: Results, sweep: Sweep) -> None:
    files = artifacts(found, sweep)
    assert set(files) == {"results.json", "results.md", "results.png", "spec.json"}
    read = json.loads(files["results.json"])
    assert read["scenarios"][0]["best"]["trial"] == 1
    assert read["scenarios"][0]["gains"][0]["test"]["mean"] == pytest.approx(0.1)
    assert json.loads(files["spec.json"]) == sweep.spec.model_dump(mode="json")


def test_a_summary_is_written_once(sweep: Sweep, slots: list[Slot], tracking: Tracking, mlflow: httpx.Client) -> None:
    experiment_id = tracking.experiment(sweep)
    for _ in range(2):
        write_summary(sweep, slots, experiment_id=experiment_id, tracking=tracking)
    (run,) = mlflow.post("runs/search", json={"experiment_ids": [experiment_id]}).json()["runs"]
    assert (run["info"]["run_name"], run["info"]["status"]) == ("summary mine", "FINISHED")
    tags = {tag["key"]: tag["value"] for tag in run["data"]["tags"]}
    assert (tags["evenhand.sweep"], tags["evenhand.trial"]) == (sweep.id, "summary")
    assert tags["mlflow.note.content"].startswith("# mine\n")
    files = mlflow.get("artifacts/list", params={"run_id": run["info"]["run_id"]}).json()["files"]
    assert {file["path"] for file in files} == {"results.json", "results.md", "results.png", "spec.json"}
