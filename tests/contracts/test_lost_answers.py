"""A commit that was done and whose answer was lost: what is tried again is not done twice."""

from collections.abc import Callable

import pytest
from sqlalchemy import Engine

from sweep.errors import DatabaseAway, LateTell
from sweep.store import Store, Sweep
from sweep.studies import Studies

from ..slots import claim_one, last, states

pytestmark = pytest.mark.chaos  # minutes with the others of its kind: make test-chaos

Submit = Callable[..., Sweep]
Lose = Callable[..., None]


@pytest.fixture
def lose(monkeypatch: pytest.MonkeyPatch) -> Lose:
    """Loses the answer of one of the commits of an engine: the next one, or that after as many as are said."""

    def arrange(engine: Engine, *, after: int = 0) -> None:
        commit, left = engine.dialect.do_commit, iter([False] * after + [True])

        def commit_and_break(connection: object) -> None:
            commit(connection)  # type: ignore[arg-type]
            if next(left, False):
                raise DatabaseAway("The connection broke.")

        monkeypatch.setattr(engine.dialect, "do_commit", commit_and_break)

    return arrange


def test_a_sweep_is_added_once(store: Store, engine: Engine, submit: Submit, lose: Lose) -> None:
    lose(engine)
    sweep = submit()
    assert store.open_sweeps() == [sweep]


def test_a_lease_is_its_holders_and_nobody_elses(store: Store, engine: Engine, lose: Lose) -> None:
    lose(engine)
    assert store.lease("look", holder="ann", seconds=60)
    assert not store.lease("look", holder="ann", seconds=60)
    lose(engine)
    assert not store.lease("look", holder="bob", seconds=60)


@pytest.mark.parametrize("after", [0, 1, 2])
def test_a_trial_that_was_told_is_told(studies: Studies, laid: Submit, lose: Lose, after: int) -> None:
    sweep = laid(trials=1)
    claim = claim_one(studies, sweep)
    lose(studies._trials._engine, after=after)
    studies.complete(claim, value=0.5, replicates=[])
    assert states(studies, sweep) == ["complete"]


@pytest.mark.parametrize("after", [0, 1, 2, 3])
def test_a_trial_that_was_given_up_is_given_up(studies: Studies, laid: Submit, lose: Lose, after: int) -> None:
    sweep = laid(trials=1)
    claim = claim_one(studies, sweep)
    lose(studies._trials._engine, after=after)
    studies.give_up(claim, outcome="failed", reason="It rained.")
    assert last(studies.slots(sweep)[0]).reason == "It rained."
    with pytest.raises(LateTell):
        studies.give_up(claim, outcome="failed", reason="It snowed.")


@pytest.mark.parametrize("after", range(12))
def test_a_claim_holds_its_trial_or_leaves_it_to_be_queued_again(
    studies: Studies, laid: Submit, lose: Lose, after: int
) -> None:
    sweep = laid(trials=1, alpha=[0.1])
    lose(studies._trials._engine, after=after)
    claims = studies.claim(sweep, worker="ann", width=1)
    assert states(studies, sweep) == ["running"]
    held = last(studies.slots(sweep)[0])
    assert held.worker == ("ann" if claims else None)
    assert [claim.params for claim in claims] == [{"alpha": 0.1}] * len(claims)
    studies.give_up_lost(studies.slots(sweep), workers={"ann"} if claims else set(), grace_s=0)
    assert states(studies, sweep) == ["running" if claims else "waiting"]


@pytest.mark.parametrize("after", range(6))
def test_laying_that_broke_off_is_completed_and_lays_no_slot_twice(
    studies: Studies, submit: Submit, lose: Lose, after: int
) -> None:
    sweep = submit(alpha=[0.1, 0.2], imbalance={"profile": "exponential", "ratios": [10]})
    slots = studies.slots(sweep)
    lose(studies._trials._engine, after=after)
    with pytest.raises(DatabaseAway):
        studies.lay(sweep, slots)
    studies.lay(sweep, studies.slots(sweep))
    assert [len(slot.attempts) for slot in studies.slots(sweep)] == [1, 1]
