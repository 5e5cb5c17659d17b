"""The store: sweeps as stored, pages, leases, and the workers' signs of life."""

import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import Engine, update

from sweep.errors import NotFound, OtherVersion
from sweep.resolve import ResolvedSweep
from sweep.store import Store, Sweep
from sweep.tables import SWEEPS

Submit = Callable[..., Sweep]
COUNTS = {"total": 1, "complete": 1}


def ids(sweeps: list[Sweep]) -> list[str]:
    return [sweep.id for sweep in sweeps]


def test_a_sweep_is_stored_as_it_was_resolved(
    store: Store, submit: Submit, resolved: Callable[..., ResolvedSweep]
) -> None:
    before = datetime.now(UTC)
    sweep = submit(name="mine", baselines=[{"name": "focal", "gamma": 1}], search={"lr": {"low": 0.1, "high": 1}})
    asked = resolved(name="mine", baselines=[{"name": "focal", "gamma": 1}], search={"lr": {"low": 0.1, "high": 1}})
    assert (sweep.spec, sweep.scenarios) == (asked.spec, asked.scenarios)
    assert sweep.dataset.classes == tuple("0123456789")
    assert (sweep.name, sweep.wanted, sweep.experiment_id, sweep.ended_at) == ("mine", "run", None, None)
    assert before - timedelta(seconds=1) < sweep.created_at <= datetime.now(UTC)
    assert store.get(sweep.id) == sweep


def test_an_unknown_id_is_not_found(store: Store) -> None:
    with pytest.raises(NotFound, match="'nothing'"):
        store.get("nothing")
    with pytest.raises(NotFound):
        store.page(limit=1, before="nothing")


def test_pages_go_from_the_newest_on_and_miss_none(store: Store, submit: Submit, engine: Engine) -> None:
    made = [submit(name=f"sweep {n}").id for n in range(7)]
    moment = store.get(made[3]).created_at.replace(tzinfo=None)
    with engine.begin() as connection:  # three of one moment, which the id alone tells apart
        connection.execute(update(SWEEPS).where(SWEEPS.c.id.in_(made[2:5])).values(created_at=moment))
    pages, before = [], None
    while page := store.page(limit=2, before=before):
        pages.append(ids(page))
        before = page[-1].id
    assert [len(page) for page in pages] == [2, 2, 2, 1]
    found = [sweep_id for page in pages for sweep_id in page]
    assert found == [made[6], made[5], *sorted(made[2:5], reverse=True), made[1], made[0]]


def test_pages_narrow_by_state_and_name(store: Store, submit: Submit) -> None:
    first, second, third = (submit(name=name) for name in ("alpha 1", "alpha_2", "beta%"))
    store.close(second.id, state="finished", progress=COUNTS, wanted="run")
    assert ids(store.page(limit=9, state="open")) == [third.id, first.id]
    assert ids(store.page(limit=9, state="finished")) == [second.id]
    assert ids(store.page(limit=9, state="failed")) == []
    assert ids(store.page(limit=9, name="alpha")) == [second.id, first.id]
    assert ids(store.page(limit=9, name="_")) == [second.id]
    assert ids(store.page(limit=9, name="%")) == [third.id]


def test_a_sweep_is_closed_once(store: Store, submit: Submit) -> None:
    sweep = submit()
    assert ids(store.open_sweeps()) == [sweep.id]
    assert not store.close(sweep.id, state="cancelled", progress={}, wanted="cancel")
    assert store.close(sweep.id, state="finished", progress=COUNTS, wanted="run")
    assert not store.close(sweep.id, state="failed", progress={}, wanted="run")
    closed = store.get(sweep.id)
    assert (closed.state, closed.progress) == ("finished", COUNTS)
    assert closed.ended_at is not None
    assert store.open_sweeps() == []
    assert not store.want(sweep.id, "cancel")
    assert store.wanted(sweep.id) == "run"


def test_what_is_wanted_and_where_it_is_observed_can_be_changed(store: Store, submit: Submit) -> None:
    older, newer = submit(), submit()
    assert store.want(older.id, "cancel")
    store.set_experiment(newer.id, "42")
    assert [(s.wanted, s.experiment_id) for s in store.open_sweeps()] == [("cancel", None), ("run", "42")]
    assert (store.wanted(older.id), store.wanted(newer.id)) == ("cancel", "run")


def test_a_sweep_of_a_newer_version_is_left_out_of_lists_and_said_once(
    store: Store, submit: Submit, engine: Engine, caplog: pytest.LogCaptureFixture
) -> None:
    first, newer, last = (submit() for _ in range(3))
    with engine.begin() as connection:
        spec = newer.spec.model_dump(mode="json") | {"written_by_a_newer_version": 1}
        connection.execute(update(SWEEPS).where(SWEEPS.c.id == newer.id).values(spec=spec))
    for _ in range(2):
        assert ids(store.open_sweeps()) == [first.id, last.id]
        assert ids(store.page(limit=2)) == [last.id, first.id]
        assert ids(store.page(limit=1, before=last.id)) == [first.id]
    assert [(record.message, vars(record)["sweep"]) for record in caplog.records] == [("sweep left out", newer.id)]
    with pytest.raises(OtherVersion, match=f"Sweep {newer.id} was stored by another version"):
        store.get(newer.id)


def test_a_lease_excludes_others_until_it_is_released(store: Store) -> None:
    assert store.lease("look", holder="ann", seconds=60)
    assert not store.lease("look", holder="bob", seconds=60)
    assert not store.lease("look", holder="ann", seconds=60)  # a second thread of hers is somebody else
    assert store.lease("another", holder="bob", seconds=60)
    store.release("look", holder="bob")
    assert not store.lease("look", holder="bob", seconds=60)
    store.release("look", holder="ann")
    assert store.lease("look", holder="bob", seconds=60)


def test_a_lease_expires(store: Store) -> None:
    assert store.lease("look", holder="ann", seconds=0.05)
    time.sleep(0.06)
    assert store.lease("look", holder="bob", seconds=60)
    assert not store.lease("look", holder="ann", seconds=60)


def test_a_worker_lives_while_it_beats(store: Store) -> None:
    store.beat("ann")
    store.beat("bob")
    assert store.living(grace_s=60) == {"ann", "bob"}
    time.sleep(0.06)
    store.beat("bob")
    assert store.living(grace_s=0.05) == {"bob"}
    assert store.living(grace_s=60) == {"bob"}  # the row of the dead is gone for good
    store.sign_off("bob")
    assert store.living(grace_s=60) == set()
    store.ping()
