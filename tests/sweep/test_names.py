"""Names that a user may give, and what MLflow's page can do to a sweep: neither holds anybody up."""

from collections.abc import Callable

import httpx
import numpy as np
import pytest
from matplotlib.figure import Figure

from sweep.classes_figure import ClassCurves, classes_figure
from sweep.reconcile import Reconciler
from sweep.store import Store, Sweep
from sweep.studies import Studies
from sweep.tracking import SWEEP_TAG, TRIAL_TAG, Tracking

from .conftest import replicates

Submit = Callable[..., Sweep]
ONE_RATIO = {"profile": "exponential", "ratios": [10]}


def finish(studies: Studies, sweep: Sweep) -> None:
    for claim in studies.claim(sweep, worker="ann", width=9):
        studies.complete(claim, value=0.5, replicates=replicates([0.4, 0.6]))


@pytest.mark.parametrize("name", ["cost $_$ of errors"])
def test_a_sweep_of_any_name_is_closed_and_holds_no_other_up(
    name: str, reconciler: Reconciler, studies: Studies, store: Store, submit: Submit
) -> None:
    sweep = submit(name=name, alpha=0.1, imbalance=ONE_RATIO, replicates=2)
    newer = submit(alpha=0.1, imbalance=ONE_RATIO)
    studies.lay(sweep, studies.slots(sweep))
    finish(studies, sweep)
    reconciler.run()
    assert store.get(sweep.id).state == "finished"
    assert len(studies.slots(newer)[0].attempts) == 1


def test_a_sweep_whose_experiment_was_deleted_in_mlflow_holds_no_other_up(
    reconciler: Reconciler, studies: Studies, store: Store, submit: Submit, tracking: Tracking, mlflow: httpx.Client
) -> None:
    sweep = submit(alpha=0.1, imbalance=ONE_RATIO, replicates=2)
    newer = submit(alpha=0.1, imbalance=ONE_RATIO)
    studies.lay(sweep, studies.slots(sweep))
    finish(studies, sweep)
    experiment_id = tracking.experiment(sweep)
    store.set_experiment(sweep.id, experiment_id)
    mlflow.post("experiments/delete", json={"experiment_id": experiment_id}).raise_for_status()
    reconciler.run()
    assert len(studies.slots(newer)[0].attempts) == 1


@pytest.mark.parametrize("classes", [["$a_$", "b"], ["_other", "b"]])
def test_a_class_of_any_name_is_named_in_the_picture(classes: list[str], drawn: list[Figure]) -> None:
    curves = ClassCurves(np.arange(3.0), np.ones((1, 3, 2)))
    classes_figure(None, curves, [(1.0, 0.1)], epochs=3, title="t", classes=classes, counts=[2, 1])
    texts = [text.get_text() for legend in drawn[0].legends for text in legend.get_texts()]
    assert [text.replace(r"\$", "$").strip() for text in texts] == [f"{classes[0]} (2)", f"{classes[1]} (1)"]


def test_a_failed_trials_run_that_was_left_open_is_failed_with_its_reason(
    reconciler: Reconciler, studies: Studies, store: Store, submit: Submit, tracking: Tracking, mlflow: httpx.Client
) -> None:
    sweep = submit(alpha=0.1, imbalance=ONE_RATIO)
    studies.lay(sweep, studies.slots(sweep))
    (claim,) = studies.claim(sweep, worker="ann", width=1)
    experiment_id = tracking.experiment(sweep)
    store.set_experiment(sweep.id, experiment_id)
    run_id = tracking.start(experiment_id, name="0", params={}, tags={SWEEP_TAG: sweep.id, TRIAL_TAG: "0"})
    studies.note_run(claim, run_id)
    studies.give_up(claim, outcome="failed", reason="The training loss became nan.")  # MLflow is away just then
    reconciler.run()
    run = mlflow.get("runs/get", params={"run_id": run_id}).json()["run"]
    tags = {tag["key"]: tag["value"] for tag in run["data"]["tags"]}
    assert (run["info"]["status"], tags["evenhand.reason"]) == ("FAILED", "The training loss became nan.")
