"""Pause, resume and retry in the database: what may be wanted instead of what, and what failed is tried again."""

from collections.abc import Callable

import httpx
import pytest

from sweep import reconcile
from sweep.errors import Conflict
from sweep.reconcile import Reconciler
from sweep.store import Store, Sweep, Wanted
from sweep.studies import Studies

from ..slots import claim_one, last, states
from ..sweep.conftest import replicates
from .test_reconcile import all_runs

Submit = Callable[..., Sweep]
PAUSED = ("pause", "pause_now")


@pytest.fixture
def failed(laid: Submit, studies: Studies, store: Store) -> Sweep:
    """A sweep of two trials; the first has failed, the second is complete."""
    sweep = laid(alpha=[0.1, 0.2])
    first, second = claim_one(studies, sweep), claim_one(studies, sweep)
    studies.give_up(first, outcome="failed", reason="It broke.")
    studies.complete(second, value=0.5, replicates=replicates([0.5]))
    return store.get(sweep.id)


@pytest.mark.parametrize(
    ("before", "wanted", "instead_of", "is_taken"),
    [
        ("run", "pause", ("run", *PAUSED), True),
        ("pause", "pause_now", ("run", *PAUSED), True),
        ("pause_now", "run", PAUSED, True),
        ("run", "run", PAUSED, False),
        ("cancel", "pause", ("run", *PAUSED), False),
        ("cancel", "run", PAUSED, False),
    ],
)
def test_one_thing_is_wanted_only_instead_of_certain_others(
    before: Wanted, wanted: Wanted, instead_of: tuple[Wanted, ...], is_taken: bool, store: Store, submit: Submit
) -> None:
    sweep = submit()
    assert store.want(sweep.id, before)
    assert store.want(sweep.id, wanted, instead_of=instead_of) is is_taken
    assert store.wanted(sweep.id) == (wanted if is_taken else before)


def test_a_paused_sweeps_trials_wait_and_lost_ones_too(
    reconciler: Reconciler, laid: Submit, store: Store, studies: Studies
) -> None:
    sweep = laid(alpha=[0.1, 0.2])
    claim_one(studies, sweep, worker="dead")
    store.want(sweep.id, "pause")
    reconciler.run()
    assert states(studies, store.get(sweep.id)) == ["waiting", "waiting"]
    assert store.get(sweep.id).ended_at is None


def test_what_failed_is_tried_again_at_its_point_and_an_ended_sweep_is_open_again(
    reconciler: Reconciler, failed: Sweep, store: Store, studies: Studies, mlflow: httpx.Client
) -> None:
    reconciler.run()
    (before,) = all_runs(mlflow, store.get(failed.id))
    assert store.get(failed.id).state == "finished"
    reconciler.retry(failed)
    again = store.get(failed.id)
    assert (again.wanted, again.ended_at, again.state, again.progress) == ("run", None, None, None)
    assert states(studies, again) == ["waiting", "complete"]
    point = last(studies.slots(again)[0]).params
    claim = claim_one(studies, again)
    assert (claim.number, claim.params) == (0, point)
    studies.complete(claim, value=0.9, replicates=replicates([0.9]))
    reconciler.run()
    assert store.get(failed.id).state == "finished"
    assert [attempt.outcome for attempt in studies.slots(again)[0].attempts] == ["failed", "complete"]
    (after,) = all_runs(mlflow, store.get(failed.id))
    assert after["info"]["run_id"] != before["info"]["run_id"]  # the summary is of the results as they are


def test_a_retried_trial_has_its_lost_attempts_replaced_as_any_other(
    reconciler: Reconciler, failed: Sweep, store: Store, studies: Studies
) -> None:
    reconciler.retry(failed)
    for _ in range(3):  # the attempt that was asked for and two retries
        assert claim_one(studies, failed, worker="dead").number == 0
        reconciler.run()
    assert store.get(failed.id).state == "finished"
    assert states(studies, failed) == ["failed", "complete"]
    reconciler.retry(failed)
    assert states(studies, failed) == ["waiting", "complete"]


def test_nothing_is_tried_again_where_nothing_failed_or_the_sweep_was_cancelled(
    reconciler: Reconciler, failed: Sweep, laid: Submit, store: Store, studies: Studies, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reconcile, "_LOOK_S", 0.3)  # a moment, which the other's look outlasts
    well = laid(alpha=0.1)
    with pytest.raises(Conflict, match=f"No trial of sweep {well.id} has failed"):
        reconciler.retry(well)
    store.lease(f"reconcile/{failed.id}", holder="another", seconds=60)
    with pytest.raises(Conflict, match="ask again in a moment"):
        reconciler.retry(failed)
    store.release(f"reconcile/{failed.id}", holder="another")
    store.want(failed.id, "cancel")
    with pytest.raises(Conflict, match="was cancelled"):
        reconciler.retry(failed)
    assert states(studies, failed) == ["failed", "complete"]
