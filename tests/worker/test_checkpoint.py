"""Long trials are checkpointed, and an attempt that follows one that was lost goes on from there."""

import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from types import SimpleNamespace
from typing import Any, cast

import httpx
import numpy as np
import pytest
import torch

from sweep.errors import NotFound
from sweep.slots import Outcome
from sweep.store import Sweep
from sweep.studies import Claim, Studies
from sweep.tracking import Tracking
from worker import checkpoint
from worker.checkpoint import CHECKPOINT, Checkpoint, Checkpoints
from worker.courier import Courier
from worker.journal import Journal
from worker.training.cohort import Cohort
from worker.training.trace import Trace
from worker.wishes import Interrupted

from .bench import Bench, Runs, wait_for

FIELDS: dict[str, Any] = {"alpha": 0.2, "training": {"epochs": 6, "batch_size": 2}, "seed": 3}


@pytest.fixture
def eager(bench: Bench) -> Bench:
    """A bench whose workers checkpoint every epoch."""
    return replace(bench, settings=bench.settings.model_copy(update={"checkpoint_s": 0}))


@pytest.fixture
def runs(bench: Bench, mlflow: httpx.Client) -> Callable[[Sweep], Runs]:
    """The runs of a sweep."""
    return lambda sweep: Runs(mlflow, str(bench.parts.store.get(sweep.id).experiment_id))


def interrupted(bench: Bench, sweep: Sweep, runs: Callable[[Sweep], Runs]) -> dict[str, Any]:
    """The run of an attempt whose worker left after a checkpoint."""
    with bench.worker("ann") as stop:
        bench.running(sweep)
        wait_for(lambda: CHECKPOINT in runs(sweep).files(runs(sweep).one(0)), what="a checkpoint")
        stop.set()
    found: dict[str, Any] = runs(sweep).one(0)
    return found


def test_an_attempt_goes_on_from_its_forerunners_checkpoint_and_ends_as_if_undisturbed(
    eager: Bench, runs: Callable[[Sweep], Runs], monkeypatch: pytest.MonkeyPatch
) -> None:
    disturbed = eager.submit(**FIELDS)
    interrupted(eager, disturbed, runs)
    trained: list[list[int]] = []
    train = Cohort.train_epoch
    monkeypatch.setattr(Cohort, "train_epoch", lambda self: (trained.append(self.epochs), train(self))[1])
    eager.work_off(disturbed)
    assert trained[0][0] > 0  # not from the beginning
    undisturbed = eager.submit(**FIELDS)
    eager.work_off(undisturbed)
    (one,), (other,) = eager.slots(disturbed), eager.slots(undisturbed)
    assert [attempt.outcome for attempt in one.attempts] == ["stopped", "complete"]
    assert one.last is not None and other.last is not None
    assert (one.last.value, one.last.replicates) == (other.last.value, other.last.replicates)
    ours, theirs = runs(disturbed).of(0)[-1], runs(undisturbed).one(0)
    for key in ("val/balanced_accuracy", "train/loss", "val/recall/9", "importance/9", "test/nll"):
        assert runs(disturbed).history(ours, key) == runs(undisturbed).history(theirs, key)
    for name in ("trajectory.parquet", "epochs.parquet"):
        assert runs(disturbed).file(ours, name) == runs(undisturbed).file(theirs, name)


def test_a_worker_that_leaves_finishes_its_epoch_and_whoever_follows_goes_on_after_it(
    bench: Bench, runs: Callable[[Sweep], Runs], monkeypatch: pytest.MonkeyPatch
) -> None:
    begun: list[int] = []
    ended: list[int] = []
    kept: list[bool] = []
    train, give_up = Cohort.train_epoch, Studies.give_up

    def noted(self: Cohort) -> Trace:
        begun.append(self.epochs[0])
        trace = train(self)
        ended.append(self.epochs[0])
        return trace

    def told(self: Studies, claim: Claim, *, outcome: Outcome, reason: str) -> None:
        kept.append(CHECKPOINT in runs(sweep).files(runs(sweep).one(0)))
        give_up(self, claim, outcome=outcome, reason=reason)

    rare = replace(bench, settings=bench.settings.model_copy(update={"checkpoint_s": 20}))
    sweep = rare.submit(**FIELDS | {"training": {"epochs": 1000, "batch_size": 2}})
    monkeypatch.setattr(Cohort, "train_epoch", noted)
    with monkeypatch.context() as patch, rare.worker("ann") as stop:
        patch.setattr(Studies, "give_up", told)
        bench.running(sweep)
        time.sleep(2.5)  # a tenth of the time after which it is checkpointed anyway, and some more
        stop.set()
    assert len(begun) == len(ended) > 0
    assert kept == [True]
    done = ended[-1]
    begun.clear()
    with rare.worker("bob"):
        wait_for(lambda: begun, what="an epoch of the next attempt")
    assert begun[0] == done


def test_a_second_interruption_costs_no_more_than_the_first(
    eager: Bench, runs: Callable[[Sweep], Runs], monkeypatch: pytest.MonkeyPatch
) -> None:
    sweep = eager.submit(**FIELDS)
    interrupted(eager, sweep, runs)
    with monkeypatch.context() as patch:  # the second worker comes to no epoch of its own

        def leave(self: Cohort) -> None:
            raise Interrupted("stopped", "It left at once.")

        patch.setattr(Cohort, "train_epoch", leave)
        with eager.worker("bob"):
            wait_for(lambda: len(eager.slots(sweep)[0].attempts) > 2, what="the second attempt to end")
    trained: list[list[int]] = []
    train = Cohort.train_epoch
    monkeypatch.setattr(Cohort, "train_epoch", lambda self: (trained.append(self.epochs), train(self))[1])
    eager.work_off(sweep)
    assert trained[0][0] > 0


def test_the_pruner_knows_the_epochs_before_the_interruption(
    eager: Bench, runs: Callable[[Sweep], Runs], monkeypatch: pytest.MonkeyPatch
) -> None:
    reported: list[int] = []
    should_prune = Studies.should_prune

    def noted(self: Studies, claim: Claim, *, epoch: int, value: float) -> bool:
        reported.append(epoch)
        return should_prune(self, claim, epoch=epoch, value=value)

    sweep = eager.submit(**FIELDS | {"pruner": "median"})
    interrupted(eager, sweep, runs)
    monkeypatch.setattr(Studies, "should_prune", noted)
    eager.work_off(sweep)
    assert reported == [1, 2, 3, 4, 5]


def test_training_does_not_wait_for_checkpoints_that_do_not_come(
    eager: Bench, runs: Callable[[Sweep], Runs], monkeypatch: pytest.MonkeyPatch
) -> None:
    sweep = eager.submit(**FIELDS)
    interrupted(eager, sweep, runs)
    asked: list[str] = []
    answer = threading.Event()

    def hanging(self: Tracking, run_id: str, name: str) -> bytes:
        asked.append(run_id)
        answer.wait(120)
        raise NotFound("Too late.")

    monkeypatch.setattr(Tracking, "artifact", hanging)
    monkeypatch.setattr(checkpoint, "_WAITS_S", 0.1)
    try:
        eager.work_off(sweep)
    finally:
        answer.set()
    assert [attempt.outcome for attempt in eager.slots(sweep)[0].attempts] == ["stopped", "complete"]
    kept = Checkpoints(eager.parts, cast("Any", SimpleNamespace(facts=lambda claim: {})), every_s=0)
    answer.clear()
    claims = [cast("Claim", SimpleNamespace(follows=f"run {n}")) for n in range(20)]
    began = time.monotonic()
    kept.fetch(claims)
    kept.fetch(claims)  # MLflow gave no answer a moment ago
    assert time.monotonic() - began < 10
    assert len(asked) <= 1 + 8
    answer.set()


def test_a_checkpoint_that_mlflow_refuses_costs_nothing(eager: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    add = Tracking.add_artifacts

    def refused(self: Tracking, run_id: str, artifacts: Mapping[str, bytes]) -> None:
        if CHECKPOINT in artifacts:
            raise OSError("413 Payload Too Large")
        add(self, run_id, artifacts)

    monkeypatch.setattr(Tracking, "add_artifacts", refused)
    sweep = eager.submit(alpha=[0.1, 0.2])
    eager.work_off(sweep, width=2)
    assert [slot.state for slot in eager.slots(sweep)] == ["complete", "complete"]


def test_a_checkpoint_is_as_large_in_company_as_alone(eager: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    sizes: dict[str, int] = {}
    keep = Courier.keep

    def measure(courier: Courier, journal: Journal, files: Mapping[str, bytes]) -> None:
        sizes[journal.claim.sweep] = len(files[CHECKPOINT])
        keep(courier, journal, files)

    monkeypatch.setattr(Courier, "keep", measure)
    alone, together = eager.submit(alpha=0.1), eager.submit(alpha=[0.1, 0.2, 0.3, 0.4])
    eager.work_off(alone, width=1)
    eager.work_off(together, width=4)
    assert 0 < sizes[together.id] < 1.05 * sizes[alone.id]


def test_what_is_no_checkpoint_of_the_trial_is_left_and_it_begins_anew(
    eager: Bench, runs: Callable[[Sweep], Runs]
) -> None:
    other = eager.submit(**FIELDS | {"seed": 4})
    of_another = runs(other).file(interrupted(eager, other, runs), CHECKPOINT)
    eager.work_off(other)
    undisturbed = eager.submit(**FIELDS)
    eager.work_off(undisturbed)
    (expected,) = eager.slots(undisturbed)
    for content in (of_another, b"half a fi"):
        sweep = eager.submit(**FIELDS)
        run = interrupted(eager, sweep, runs)
        eager.parts.tracking.add_artifacts(run["info"]["run_id"], {CHECKPOINT: content})
        eager.work_off(sweep)
        (slot,) = eager.slots(sweep)
        assert slot.last is not None and expected.last is not None
        assert (slot.state, slot.last.replicates) == ("complete", expected.last.replicates)


def test_a_quick_trial_has_no_checkpoint(bench: Bench, runs: Callable[[Sweep], Runs]) -> None:
    sweep = bench.submit(alpha=0.1)
    bench.work_off(sweep)
    assert CHECKPOINT not in runs(sweep).files(runs(sweep).one(0))


def test_a_checkpoint_that_would_run_something_is_refused(tmp_path: Any) -> None:
    torch.save({"trial": np.random.default_rng, "states": [], "kept": {}}, tmp_path / "evil.pt")
    with pytest.raises(Exception, match=r"[Ww]eights"):
        Checkpoint.from_bytes((tmp_path / "evil.pt").read_bytes())
