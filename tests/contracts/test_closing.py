"""How a sweep is closed on both databases and a real MLflow: by what is wanted of it then, whatever MLflow refuses."""

import errno
from collections.abc import Callable

import httpx
import pytest
from mlflow.exceptions import MlflowException

from sweep.reconcile import Reconciler
from sweep.store import Store, Sweep
from sweep.studies import Studies
from sweep.tracking import Tracking

from ..conftest import impatient
from ..slots import claim_one
from ..sweep.conftest import replicates
from .test_reconcile import observe, run

Submit = Callable[..., Sweep]


@pytest.fixture
def once(mlflow_url: str) -> Tracking:
    """Tracking that tries once, as the reconciler has it."""
    return impatient(mlflow_url)


@pytest.fixture
def reconciler(store: Store, studies: Studies, once: Tracking) -> Reconciler:
    """A reconciler on that tracking."""
    return Reconciler(store, studies, once, holder="ann", grace_s=60)


@pytest.fixture
def done(laid: Submit, studies: Studies) -> Sweep:
    """A sweep of one trial, which is complete."""
    sweep = laid(alpha=[0.1])
    studies.complete(claim_one(studies, sweep), value=0.5, replicates=replicates([0.5]))
    return sweep


def test_a_sweep_that_is_cancelled_while_it_is_being_closed_ends_cancelled(
    reconciler: Reconciler, store: Store, once: Tracking, done: Sweep, monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:  # fmt: skip
    caplog.set_level("INFO")
    with monkeypatch.context() as patched:
        patched.setattr(once, "running", lambda _: [] if store.want(done.id, "cancel") else None)
        reconciler.look_at(done)
    assert store.get(done.id).ended_at is None
    reconciler.look_at(done)
    ended = store.get(done.id)
    assert (ended.state, ended.wanted) == ("cancelled", "cancel")
    assert [record.message for record in caplog.records].count("sweep ended") == 1


def test_a_run_that_mlflow_refuses_to_end_holds_neither_its_sweep_up_nor_the_other_runs(
    reconciler: Reconciler, store: Store, once: Tracking, done: Sweep, mlflow: httpx.Client,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    refused, other = (observe(store, once, done, trial) for trial in ("0", "never noted"))
    end = once.end

    def end_or_refuse(run_id: str, *args: object, **kwargs: object) -> None:
        if run_id == refused:
            raise MlflowException("Not this one.", error_code=1000)
        end(run_id, *args, **kwargs)  # type: ignore[arg-type]

    monkeypatch.setattr(once, "end", end_or_refuse)
    reconciler.look_at(done)
    assert store.get(done.id).state == "finished"
    assert [run(mlflow, run_id)[0] for run_id in (refused, other)] == ["RUNNING", "KILLED"]


def test_a_sweep_is_closed_with_its_summary_once_the_disk_has_room_for_it(
    reconciler: Reconciler, store: Store, once: Tracking, done: Sweep, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(once, "add_artifacts", full)
        reconciler.look_at(done)
    assert store.get(done.id).ended_at is None
    reconciler.look_at(done)
    ended = store.get(done.id)
    assert ended.state == "finished"
    assert len(once.summaries(str(ended.experiment_id))) == 1
