"""Long trials are checkpointed, and an attempt that follows one that was lost goes on from there."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import httpx
import numpy as np
import pytest
import torch

from sweep.store import Sweep
from worker.checkpoint import CHECKPOINT, Checkpoint
from worker.training.cohort import Cohort

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
