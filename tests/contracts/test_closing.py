"""How a sweep is closed on both databases and a real MLflow: by what is wanted of it then, whatever MLflow refuses."""

from collections.abc import Callable

import pytest

from sweep.reconcile import Reconciler
from sweep.store import Store, Sweep
from sweep.studies import Studies
from sweep.tracking import Tracking

from ..conftest import impatient
from ..slots import claim_one
from ..sweep.conftest import replicates

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
