"""Submissions under keys: one sweep a key, whoever takes it and however many do at once."""

import json
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

import pytest
from sqlalchemy import Engine

from sweep.database import engine_for
from sweep.datasets import DatasetInfo
from sweep.errors import DatabaseAway, KeyReused
from sweep.problems import parse_sweep
from sweep.resolve import resolve
from sweep.store import DatasetMark, Store, Sweep
from sweep.submission import Submission

from ..conftest import BODY

Take = Callable[..., tuple[Sweep, bool]]


def body(**fields: object) -> bytes:
    return json.dumps({**BODY, **fields}).encode()


@pytest.fixture
def take(digits: DatasetInfo) -> Take:
    """Adds a body to a store under a key, as an API does that has found none under it."""

    def add(store: Store, key: str, **fields: object) -> tuple[Sweep, bool]:
        resolved = resolve(parse_sweep(body(**fields)), digits)
        mark = DatasetMark(classes=digits.classes, content=digits.content)
        return store.add_once(resolved, mark, Submission(key=key, body=body(**fields)))

    return add


@pytest.fixture
def other(engine: Engine, database: str) -> Iterator[Store]:
    """A second store on the same database, as another API has one."""
    second = engine_for(database)
    yield Store(second)
    second.dispose()


def test_a_key_leads_to_its_sweep(store: Store, other: Store, take: Take) -> None:
    assert store.submitted(Submission(key="mine", body=body())) is None
    sweep, is_new = take(store, "mine")
    assert is_new
    assert other.submitted(Submission(key="mine", body=body())) == sweep == store.get(sweep.id)
    assert other.submitted(Submission(key="Mine", body=body())) is None


def test_a_key_that_was_taken_meanwhile_gives_the_sweep_that_took_it(store: Store, other: Store, take: Take) -> None:
    first = take(store, "mine")
    assert take(other, "mine") == (first[0], False)
    assert take(other, "another")[1]
    assert len(store.open_sweeps()) == 2


def test_a_key_with_another_body_is_refused_and_names_the_header_and_the_sweep(store: Store, take: Take) -> None:
    sweep, _ = take(store, "mine")
    with pytest.raises(KeyReused, match=f"^Idempotency-Key 'mine' came before .* sweep {sweep.id}"):
        store.submitted(Submission(key="mine", body=body(seed=1)))
    with pytest.raises(KeyReused):
        take(store, "mine", seed=1)
    assert store.open_sweeps() == [sweep]


def test_a_key_is_kept_as_long_as_its_sweep_is(store: Store, take: Take) -> None:
    sweep, _ = take(store, "mine")
    store.close(sweep.id, state="failed", progress={}, wanted="run")
    found = store.submitted(Submission(key="mine", body=body()))
    assert found is not None
    assert (found.id, found.state) == (sweep.id, "failed")


def test_sweeps_without_a_key_are_as_many_as_were_asked_for(store: Store, submit: Callable[..., Sweep]) -> None:
    assert submit().id != submit().id


def test_sixteen_takers_of_one_key_at_once_get_one_sweep(store: Store, other: Store, take: Take) -> None:
    together = Barrier(16)

    def one(number: int) -> tuple[Sweep, bool]:
        together.wait(60)
        return take((store, other)[number % 2], "mine")

    with ThreadPoolExecutor(16) as threads:
        taken = list(threads.map(one, range(16)))
    assert [sweep for sweep, _ in taken] == store.open_sweeps() * 16
    assert [is_new for _, is_new in taken].count(True) == 1


@pytest.mark.parametrize("is_done", [True, False], ids=["committed", "rolled back"])
def test_a_commit_without_an_answer_leaves_one_sweep_whoever_took_the_key_then(
    store: Store, other: Store, engine: Engine, take: Take, monkeypatch: pytest.MonkeyPatch, is_done: bool
) -> None:
    commit, answers = engine.dialect.do_commit, iter([False])

    def commit_or_break(connection: object) -> None:
        if next(answers, True):
            commit(connection)  # type: ignore[arg-type]
            return
        (commit if is_done else engine.dialect.do_rollback)(connection)  # type: ignore[arg-type]
        take(other, "mine")
        raise DatabaseAway("The connection broke.")

    monkeypatch.setattr(engine.dialect, "do_commit", commit_or_break)
    sweep, is_new = take(store, "mine")
    assert is_new == is_done
    assert store.open_sweeps() == [sweep]
