"""A reconciler that is stopped for longer than its lease, on both databases: nothing is done twice."""

import time
from collections.abc import Callable

import pytest

from sweep import reconcile
from sweep.errors import Conflict
from sweep.reconcile import Reconciler
from sweep.store import Store, Sweep
from sweep.studies import Studies

from ..conftest import impatient
from ..slots import claim_one, last, states
from ..sweep.conftest import replicates

Submit = Callable[..., Sweep]
ONE_RATIO = {"profile": "exponential", "ratios": [10]}
LEASE_S = 0.05


@pytest.fixture
def other(store: Store, studies: Studies, mlflow_url: str, monkeypatch: pytest.MonkeyPatch) -> Reconciler:
    """A second reconciler, and leases that are soon over."""
    monkeypatch.setattr(reconcile, "_LEASE_S", LEASE_S)
    return Reconciler(store, studies, impatient(mlflow_url), holder="bob", grace_s=60)


@pytest.fixture
def stopped(studies: Studies, monkeypatch: pytest.MonkeyPatch) -> Callable[[Callable[[], object]], None]:
    """Stops whoever reads the slots next until its lease is over, and does something meanwhile."""
    read = studies.slots

    def stop(meanwhile: Callable[[], object]) -> None:
        def slots(sweep: Sweep) -> object:
            found = read(sweep)
            monkeypatch.setattr(studies, "slots", read)
            time.sleep(2 * LEASE_S)
            meanwhile()
            return found

        monkeypatch.setattr(studies, "slots", slots)

    return stop


def outcomes(studies: Studies, sweep: Sweep) -> list[list[str | None]]:
    return [[attempt.outcome for attempt in slot.attempts] for slot in studies.slots(sweep)]


def test_a_slot_is_laid_once(
    reconciler: Reconciler, other: Reconciler, stopped: Callable[..., None], studies: Studies, submit: Submit
) -> None:
    sweep = submit(alpha=[0.1, 0.2], imbalance=ONE_RATIO)
    stopped(lambda: other.look_at(sweep))
    reconciler.look_at(sweep)
    assert outcomes(studies, sweep) == [[None], [None]]


def test_a_slot_that_is_owed_an_attempt_gets_one(
    reconciler: Reconciler, other: Reconciler, stopped: Callable[..., None], studies: Studies, laid: Submit
) -> None:
    sweep = laid(alpha=[0.1, 0.2])
    studies.give_up(claim_one(studies, sweep), outcome="stopped", reason="It left.")
    stopped(lambda: other.look_at(sweep))
    reconciler.look_at(sweep)
    assert outcomes(studies, sweep) == [["stopped", None], [None]]


def test_what_failed_is_tried_again_once(
    reconciler: Reconciler, other: Reconciler, stopped: Callable[..., None], studies: Studies, laid: Submit
) -> None:
    sweep = laid(alpha=[0.1])
    studies.give_up(claim_one(studies, sweep), outcome="failed", reason="It broke.")
    stopped(lambda: other.retry(sweep))
    with pytest.raises(Conflict, match="nothing to try again"):
        reconciler.retry(sweep)
    assert outcomes(studies, sweep) == [["failed", None]]


def test_what_was_queued_twice_is_claimed_once_and_ended_by_the_next_look(
    reconciler: Reconciler, studies: Studies, store: Store, submit: Submit
) -> None:
    sweep = submit(alpha=[0.1, 0.2, 0.3], imbalance=ONE_RATIO)
    before = studies.slots(sweep)
    for _ in range(2):  # by one that was stopped after it had made sure of its lease
        studies.lay(sweep, before)
    store.beat("bob")
    claims = studies.claim(sweep, worker="bob", width=9)
    assert [claim.number for claim in claims] == [0, 1, 2]
    studies.complete(claims[0], value=0.5, replicates=replicates([0.5]))
    studies.give_up(claims[1], outcome="stopped", reason="It left.")
    assert [claim.number for claim in studies.claim(sweep, worker="bob", width=9)] == [1]  # the second one is due now
    reconciler.run()
    assert outcomes(studies, sweep) == [["complete", "stopped"], ["stopped", None], [None, "stopped"]]
    assert states(studies, sweep) == ["complete", "running", "running"]
    assert studies.slots(sweep)[0].attempts[1].reason == "An earlier attempt at it was there already."
    assert last(studies.slots(sweep)[0]).value == 0.5
    studies.give_up(claims[2], outcome="lost", reason="It broke off.")
    reconciler.run()
    assert outcomes(studies, sweep)[2] == ["lost", "stopped", None]


def test_a_sweep_in_which_something_was_queued_twice_ends_with_nothing_waiting(
    reconciler: Reconciler, studies: Studies, store: Store, submit: Submit
) -> None:
    sweep = submit(alpha=[0.1], imbalance=ONE_RATIO)
    before = studies.slots(sweep)
    for _ in range(2):
        studies.lay(sweep, before)
    studies.complete(claim_one(studies, sweep), value=0.5, replicates=replicates([0.5]))
    reconciler.run()
    ended = store.get(sweep.id)
    assert (ended.state, ended.progress and ended.progress["complete"]) == ("finished", 1)
    assert outcomes(studies, sweep) == [["complete", "stopped"]]
