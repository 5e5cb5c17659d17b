"""The reconciler on both databases and a real MLflow: it mends what a crash left, and closes what has ended."""

from collections.abc import Callable, Sequence
from typing import Any

import httpx
import pytest

from sweep.reconcile import Reconciler
from sweep.slots import Outcome
from sweep.store import Store, Sweep, SweepState
from sweep.studies import Claim, Studies
from sweep.tracking import SWEEP_TAG, TRIAL_TAG, Tracking

from ..conftest import impatient
from ..gate import Gate
from ..slots import states
from ..sweep.conftest import replicates

Submit = Callable[..., Sweep]
ONE_RATIO = {"profile": "exponential", "ratios": [10]}


@pytest.fixture
def two_trials(submit: Submit, studies: Studies) -> Sweep:
    """A sweep of two alphas, laid."""
    sweep = submit(alpha=[0.1, 0.2], imbalance=ONE_RATIO, replicates=2)
    studies.lay(sweep, studies.slots(sweep))
    return sweep


def claims(studies: Studies, sweep: Sweep, worker: str = "dead") -> list[Claim]:
    return studies.claim(sweep, worker=worker, width=2)


def tell(studies: Studies, claim: Claim, outcome: Outcome) -> None:
    if outcome == "complete":
        studies.complete(claim, value=0.5, replicates=replicates([0.4, 0.6]))
    else:
        studies.give_up(claim, outcome=outcome, reason="It rained.")


def observe(store: Store, tracking: Tracking, sweep: Sweep, trial: str) -> str:
    """A run of a trial, as a worker starts it."""
    experiment_id = tracking.experiment(sweep)
    store.set_experiment(sweep.id, experiment_id)
    return tracking.start(experiment_id, name=trial, params={}, tags={SWEEP_TAG: sweep.id, TRIAL_TAG: trial})


def run(mlflow: httpx.Client, run_id: str) -> tuple[str, str | None]:
    """A run's status and reason."""
    found = mlflow.get("runs/get", params={"run_id": run_id}).json()["run"]
    tags = {tag["key"]: tag["value"] for tag in found["data"]["tags"]}
    return found["info"]["status"], tags.get("evenhand.reason")


def all_runs(mlflow: httpx.Client, sweep: Sweep) -> list[dict[str, Any]]:
    body = {"experiment_ids": [sweep.experiment_id], "max_results": 100}
    return list(mlflow.post("runs/search", json=body).json().get("runs", []))


def test_a_sweep_that_was_stored_and_not_laid_is_laid(
    reconciler: Reconciler, studies: Studies, submit: Submit, store: Store
) -> None:
    sweep = submit(alpha=[0.1, 0.2], baselines=["focal"])
    for _ in range(2):
        reconciler.run()
        assert [len(slot.attempts) for slot in studies.slots(sweep)] == [1] * 6
    assert store.get(sweep.id).ended_at is None


def test_a_lost_workers_trial_is_queued_again_and_its_run_killed(
    reconciler: Reconciler, studies: Studies, store: Store, two_trials: Sweep, tracking: Tracking, mlflow: httpx.Client
) -> None:
    store.beat("living")
    (lost,) = studies.claim(two_trials, worker="dead", width=1)
    (held,) = studies.claim(two_trials, worker="living", width=1)
    runs = [observe(store, tracking, two_trials, trial) for trial in ("0", "1")]
    studies.note_run(lost, runs[0])
    studies.note_run(held, runs[1])
    for _ in range(2):
        reconciler.run()
        assert states(studies, two_trials) == ["waiting", "running"]
        first, second = studies.slots(two_trials)
        assert [attempt.outcome for attempt in first.attempts] == ["lost", None]
        assert [attempt.outcome for attempt in second.attempts] == [None]
        assert run(mlflow, runs[0]) == ("KILLED", "The worker was lost.")
        assert run(mlflow, runs[1]) == ("RUNNING", None)
    assert [dict(claim.params) for claim in claims(studies, two_trials)] == [{"alpha": 0.1}]


@pytest.mark.parametrize(
    ("outcomes", "state"),
    [
        (["complete", "complete"], "finished"),
        (["complete", "failed"], "finished"),
        (["failed", "failed"], "failed"),
        (["failed", "pruned"], "failed"),
    ],
)
def test_a_sweep_is_closed_by_how_its_trials_ended(
    outcomes: Sequence[Outcome], state: SweepState, reconciler: Reconciler, studies: Studies, store: Store,
    two_trials: Sweep, mlflow: httpx.Client,
) -> None:  # fmt: skip
    for claim, outcome in zip(claims(studies, two_trials), outcomes, strict=True):
        tell(studies, claim, outcome)
    reconciler.run()
    ended = store.get(two_trials.id)
    assert (ended.state, ended.ended_at is not None) == (state, True)
    assert ended.progress is not None
    assert ended.progress["total"] == 2
    assert all(ended.progress[outcome] == outcomes.count(outcome) for outcome in ("complete", "pruned", "failed"))
    assert [found["info"]["status"] for found in all_runs(mlflow, ended)] == ["FINISHED"]  # the summary


def test_a_cancelled_sweep_is_closed_once_what_runs_has_ended(
    reconciler: Reconciler, studies: Studies, store: Store, two_trials: Sweep
) -> None:
    store.beat("living")
    (held,) = studies.claim(two_trials, worker="living", width=1)
    store.want(two_trials.id, "cancel")
    reconciler.run()
    assert store.get(two_trials.id).ended_at is None
    assert states(studies, store.get(two_trials.id)) == ["running", "cancelled"]
    tell(studies, held, "complete")
    reconciler.run()
    ended = store.get(two_trials.id)
    assert ended.state == "cancelled"
    assert ended.progress is not None
    assert (ended.progress["complete"], ended.progress["cancelled"]) == (1, 1)


def test_a_cancelled_sweep_does_not_wait_for_a_worker_that_is_dead(
    reconciler: Reconciler, studies: Studies, store: Store, two_trials: Sweep
) -> None:
    claims(studies, two_trials)
    store.want(two_trials.id, "cancel")
    reconciler.run()
    assert store.get(two_trials.id).state == "cancelled"


def test_a_trial_lost_too_often_ends_its_sweep(
    reconciler: Reconciler, studies: Studies, store: Store, submit: Submit
) -> None:
    sweep = submit(alpha=0.1, imbalance=ONE_RATIO)
    reconciler.run()
    for _ in range(3):  # the first attempt and two retries
        assert len(claims(studies, sweep)) == 1
        reconciler.run()
    assert store.get(sweep.id).state == "failed"


def test_no_run_is_left_running_when_a_sweep_has_ended(
    reconciler: Reconciler, studies: Studies, store: Store, two_trials: Sweep, tracking: Tracking, mlflow: httpx.Client
) -> None:
    runs = [observe(store, tracking, two_trials, trial) for trial in ("0", "1", "never noted", "summary")]
    for claim, run_id in zip(claims(studies, two_trials), runs, strict=False):
        studies.note_run(claim, run_id)
        tell(studies, claim, "complete" if claim.number == 0 else "cancelled")
    reconciler.run()
    assert [run(mlflow, run_id)[0] for run_id in runs] == ["FINISHED", "KILLED", "KILLED", "KILLED"]
    found = all_runs(mlflow, store.get(two_trials.id))
    assert len(found) == 5
    (summary,) = [one for one in found if one["info"]["run_name"] == f"summary {two_trials.name}"]
    assert summary["info"]["status"] == "FINISHED"


def test_looking_again_at_what_has_ended_changes_nothing(
    reconciler: Reconciler, studies: Studies, store: Store, two_trials: Sweep, mlflow: httpx.Client
) -> None:
    for claim in claims(studies, two_trials):
        tell(studies, claim, "complete")
    reconciler.look_at(two_trials)
    ended = store.get(two_trials.id)
    reconciler.look_at(two_trials)  # a worker that read the sweep before it ended
    reconciler.run()
    assert store.get(two_trials.id) == ended
    assert len(all_runs(mlflow, ended)) == 1


def test_with_mlflow_away_a_sweep_stays_open_the_others_go_on_and_it_is_closed_later(
    studies: Studies, store: Store, two_trials: Sweep, submit: Submit, gate: Gate
) -> None:
    for claim in claims(studies, two_trials):
        tell(studies, claim, "complete")
    other = submit(alpha=0.1, imbalance=ONE_RATIO)
    reconciler = Reconciler(store, studies, impatient(gate.url), holder="ann", grace_s=60)
    reconciler.run()
    assert [sweep.id for sweep in store.open_sweeps()] == [two_trials.id, other.id]
    assert [len(slot.attempts) for slot in studies.slots(other)] == [1]
    gate.open()
    reconciler.run()
    assert store.get(two_trials.id).state == "finished"


def test_one_looks_at_a_sweep_at_a_time(reconciler: Reconciler, studies: Studies, store: Store, submit: Submit) -> None:
    sweep = submit(alpha=0.1, imbalance=ONE_RATIO)
    assert store.lease(f"reconcile/{sweep.id}", holder="bob/1", seconds=60)
    reconciler.run()
    assert studies.slots(sweep)[0].attempts == ()
    store.release(f"reconcile/{sweep.id}", holder="bob/1")
    reconciler.run()
    assert len(studies.slots(sweep)[0].attempts) == 1
    assert store.lease(f"reconcile/{sweep.id}", holder="bob/2", seconds=60)  # given back after the look


def test_a_sweep_that_is_cancelled_before_it_is_laid_ends_cancelled(
    reconciler: Reconciler, store: Store, submit: Submit
) -> None:
    sweep = submit(alpha=[0.1, 0.2], imbalance=ONE_RATIO)
    store.want(sweep.id, "cancel")
    reconciler.run()
    assert store.get(sweep.id).state == "cancelled"


def test_of_a_large_sweep_few_slots_wait_at_a_time_and_all_come(
    reconciler: Reconciler, studies: Studies, submit: Submit
) -> None:
    sweep = submit(alpha={"low": 0.1, "high": 0.9}, sampler="random", trials=300, imbalance=ONE_RATIO)
    reconciler.run()
    reconciler.run()
    slots = studies.slots(sweep)
    assert sum(bool(slot.attempts) for slot in slots) == 256
    assert states(studies, sweep) == ["waiting"] * 300
    for claim in studies.claim(sweep, worker="ann", width=100):
        studies.give_up(claim, outcome="failed", reason="It rained.")
    reconciler.run()
    assert sum(bool(slot.attempts) for slot in studies.slots(sweep)) == 300
