"""How attempts end that do not end well (failed, pruned, cancelled, stopped, taken back), and what each leaves."""

from collections.abc import Callable, Sequence
from pathlib import Path

import httpx
import numpy as np
import optuna
import pytest
from optuna.trial import TrialState
from sqlalchemy import update

from sweep.database import engine_for
from sweep.store import Sweep
from sweep.tables import SWEEPS
from worker.training.trace import State
from worker.training.trainer import Training
from worker.training.trial import Member

from .bench import Bench, Runs, tags, wait_for

SLOW = {"epochs": 10_000, "batch_size": 8}
"""Never done before it is interrupted."""


@pytest.fixture
def runs(bench: Bench, mlflow: httpx.Client) -> Callable[[Sweep], Runs]:
    """The runs of a sweep."""
    return lambda sweep: Runs(mlflow, str(bench.parts.store.get(sweep.id).experiment_id))


@pytest.mark.parametrize("width", [1, 2])
def test_a_trial_whose_loss_is_no_longer_finite_fails_alone_and_says_why(
    width: int, bench: Bench, runs: Callable[[Sweep], Runs]
) -> None:
    training = {"optimizer": "sgd", "weight_decay": 1.0, "batch_size": 8, "epochs": 3}
    sweep = bench.submit(alpha=0.1, search={"lr": [10.0, 0.01]}, training=training)
    bench.work_off(sweep, width=width)
    ended = bench.parts.store.get(sweep.id)
    assert ended.state == "finished"
    failed, complete = bench.last_attempts(sweep)
    assert (failed.outcome, failed.value, complete.outcome) == ("failed", None, "complete")
    assert failed.reason is not None
    assert "The training loss became" in failed.reason
    assert "loss adaptive, alpha 0.1" in failed.reason
    assert "lr 10)" in failed.reason
    run = runs(sweep).one(0)
    assert (run["info"]["status"], tags(run)["evenhand.reason"]) == ("FAILED", failed.reason)
    assert runs(sweep).one(1)["info"]["status"] == "FINISHED"


def test_trials_that_find_no_place_fail_and_those_in_training_go_on(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    join = Training.join

    def full(self: Training, members: Sequence[Member], states: Sequence[State | None] = ()) -> range:
        if any(member.trial.lr == 0.02 for member in members):
            raise ValueError("Not this one.")
        return join(self, members, states)

    monkeypatch.setattr(Training, "join", full)
    sweep = bench.submit(alpha=0.1, search={"lr": [0.01, 0.02, 0.03]}, training={"epochs": 2})
    bench.work_off(sweep, width=1)
    assert [attempt.outcome for attempt in bench.last_attempts(sweep)] == ["complete", "failed", "complete"]


def write_clouds(folder: Path, *, seed: int) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    labels = np.arange(120) % 3
    points = np.random.default_rng(seed).normal(labels[:, None], 0.3, (120, 2))
    np.savez(folder / "clouds.npz", x=points, y=labels)


def test_a_data_set_that_was_changed_since_fails_its_trials_and_not_the_worker(
    bench: Bench, runs: Callable[[Sweep], Runs]
) -> None:
    folder = bench.settings.data_dir / "datasets" / "clouds"
    write_clouds(folder, seed=0)
    over_clouds = {"dataset": "clouds", "imbalance": {"profile": "exponential", "ratios": [2]}, "alpha": [0.1, 0.2]}
    changed = bench.submit(**over_clouds)
    write_clouds(folder, seed=1)
    good = bench.submit(alpha=0.1, replicates=1, training={"epochs": 1})
    bench.work_off(changed, good)
    assert bench.parts.store.get(changed.id).state == "failed"
    for attempt in bench.last_attempts(changed):
        assert attempt.outcome == "failed"
        assert attempt.reason is not None
        assert "files have changed since the sweep was submitted" in attempt.reason
    assert [tags(run)["evenhand.trial"] for run in runs(changed).all()] == ["summary"]
    assert bench.parts.store.get(good.id).state == "finished"


def test_a_trial_that_the_trainer_refuses_fails_with_what_it_said(bench: Bench, runs: Callable[[Sweep], Runs]) -> None:
    refused = bench.submit(alpha=0.1, model="linear")
    good = bench.submit(alpha=0.1, replicates=1, training={"epochs": 1})
    put_model(bench, refused, "resnet32")
    bench.work_off(refused, good)
    (attempt,) = bench.last_attempts(refused)
    assert attempt.outcome == "failed"
    assert attempt.reason is not None
    assert attempt.reason.startswith("ValueError: Expected images (channels, H, W)")
    run = runs(refused).one(0)
    assert (run["info"]["status"], tags(run)["evenhand.reason"]) == ("FAILED", attempt.reason)
    assert bench.parts.store.get(good.id).state == "finished"


def put_model(bench: Bench, sweep: Sweep, model: str) -> None:
    """Writes into the stored sweep a model that its data do not fit, which no submission lets through."""
    engine = engine_for(bench.settings.database)
    spec = sweep.spec.model_dump(mode="json") | {"model": model}
    with engine.begin() as connection:
        connection.execute(update(SWEEPS).where(SWEEPS.c.id == sweep.id).values(spec=spec))
    engine.dispose()


def test_cancelling_ends_what_trains_and_what_waits(bench: Bench, runs: Callable[[Sweep], Runs]) -> None:
    sweep = bench.submit(alpha=[0.1, 0.2, 0.3], training=SLOW)
    with bench.worker("ann"):
        run_id = bench.running(sweep)
        bench.parts.store.want(sweep.id, "cancel")
        ended = bench.ended(sweep)
    assert ended.state == "cancelled"
    assert ended.progress is not None
    assert (ended.progress["cancelled"], ended.progress["total"]) == (3, 3)
    assert [attempt.outcome for attempt in bench.last_attempts(sweep)] == ["cancelled"] * 3
    assert {attempt.reason for attempt in bench.last_attempts(sweep)} == {"The sweep was cancelled."}
    trial, summary = runs(sweep).all()
    assert (trial["info"]["run_id"], trial["info"]["status"]) == (run_id, "KILLED")
    assert tags(trial)["evenhand.reason"] == "The sweep was cancelled."
    assert summary["info"]["status"] == "FINISHED"


def test_a_stopped_trial_is_tried_again_and_ends_as_if_undisturbed(bench: Bench, runs: Callable[[Sweep], Runs]) -> None:
    fields = {"alpha": 0.2, "training": {"epochs": 3, "batch_size": 2}, "seed": 3}
    disturbed, undisturbed = bench.submit(**fields), bench.submit(**fields)
    with bench.worker("ann") as stop:
        run_id = bench.running(disturbed)
        stop.set()
    (slot,) = bench.slots(disturbed)
    assert slot.state == "waiting"
    assert (slot.attempts[0].worker, slot.attempts[0].outcome) == ("ann", "stopped")  # ann may have queued the next
    assert bench.parts.store.living(grace_s=60) == set()
    stopped = runs(disturbed).one(0)
    assert (stopped["info"]["run_id"], stopped["info"]["status"]) == (run_id, "KILLED")
    assert tags(stopped)["evenhand.reason"] == "The worker was asked to leave; the trial is tried again."
    with bench.worker("bob"):
        bench.ended(disturbed)
        bench.ended(undisturbed)
    (slot,), (other,) = bench.slots(disturbed), bench.slots(undisturbed)
    assert [(attempt.worker, attempt.outcome) for attempt in slot.attempts] == [("ann", "stopped"), ("bob", "complete")]
    assert slot.last is not None
    assert other.last is not None
    assert (slot.last.value, slot.last.replicates) == (other.last.value, other.last.replicates)
    assert [run["info"]["status"] for run in runs(disturbed).of(0)] == ["KILLED", "FINISHED"]


def test_a_poor_trial_is_pruned_with_its_reason_and_its_run_is_finished(
    bench: Bench, runs: Callable[[Sweep], Runs]
) -> None:
    rates = [0.02, 0.021, 0.022, 0.023, 0.024, 1e-7]  # the median pruner wants five trials to compare with
    sweep = bench.submit(alpha=0.1, search={"lr": rates}, pruner="median", replicates=1)
    bench.work_off(sweep)
    ended = bench.parts.store.get(sweep.id)
    assert ended.state == "finished"
    attempts = bench.last_attempts(sweep)
    assert [attempt.outcome for attempt in attempts] == ["complete"] * 5 + ["pruned"]
    reason = attempts[5].reason
    assert reason is not None
    assert reason.startswith("Pruned after epoch 1: balanced_accuracy 0.")
    run = runs(sweep).one(5)
    assert (run["info"]["status"], tags(run)["evenhand.reason"]) == ("FINISHED", reason)
    assert [step for step, _ in runs(sweep).history(run, "val/balanced_accuracy")] == [1]
    assert runs(sweep).history(run, "test/balanced_accuracy") == []


def test_a_trial_that_was_taken_back_meanwhile_is_dropped_and_its_worker_lives_on(
    bench: Bench, runs: Callable[[Sweep], Runs]
) -> None:
    sweep = bench.submit(alpha=0.2, training={"epochs": 3, "batch_size": 2})
    with bench.worker("ann"):
        late = bench.running(sweep)
        given_up = bench.parts.studies.give_up_lost(bench.slots(sweep), workers={"bob"}, grace_s=0)
        assert [attempt.run_id for attempt in given_up] == [late]
        bench.ended(sweep)
    (slot,) = bench.slots(sweep)
    assert [(attempt.worker, attempt.outcome) for attempt in slot.attempts] == [("ann", "lost"), ("ann", "complete")]
    assert [run["info"]["status"] for run in runs(sweep).of(0)] == ["KILLED", "FINISHED"]
    assert slot.last is not None
    assert slot.last.run_id != late


def test_a_trial_taken_back_from_a_batch_costs_the_others_nothing(bench: Bench) -> None:
    training = {"epochs": 60, "batch_size": 4}
    sweep = bench.submit(alpha=[0.1, 0.2], training=training, pruner="median", replicates=1)
    with bench.worker("ann", width=2):
        wait_for(lambda: all(slot.last and slot.last.run_id for slot in bench.slots(sweep)), what="both in training")
        study = optuna.load_study(study_name=f"{sweep.id}/0/adaptive", storage=bench.settings.database)
        study.tell(0, state=TrialState.FAIL)
        bench.ended(sweep)
    first, second = bench.slots(sweep)
    assert [attempt.outcome for attempt in first.attempts] == ["failed"]
    assert [(attempt.outcome, attempt.reason) for attempt in second.attempts] == [("complete", None)]
