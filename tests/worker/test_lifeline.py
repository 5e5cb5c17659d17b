"""Signs of life: from before the block until its end, whatever happens to the database or in the block."""

import pytest
from sqlalchemy import Engine, select, text

from sweep.store import Store
from sweep.tables import WORKERS
from worker.lifeline import Lifeline

from .bench import wait_for


def last_beat(engine: Engine) -> object:
    with engine.begin() as connection:
        return connection.execute(select(WORKERS.c.beat_at).where(WORKERS.c.name == "ann")).scalar_one()


def rename(engine: Engine, old: str, new: str) -> None:
    with engine.begin() as connection:
        connection.execute(text(f"alter table {old} rename to {new}"))


def test_a_worker_is_known_within_the_block_and_gone_after_it(store: Store) -> None:
    with Lifeline(store, worker="ann", interval_s=60):
        assert store.living(grace_s=30) == {"ann"}
    assert store.living(grace_s=30) == set()


def test_it_beats_again_and_again(store: Store, engine: Engine) -> None:
    with Lifeline(store, worker="ann", interval_s=0.01):
        for _ in range(3):
            seen = last_beat(engine)
            wait_for(lambda seen=seen: last_beat(engine) != seen, what="another beat")  # type: ignore[misc]


def test_a_worker_that_fails_signs_off_too(store: Store) -> None:
    with pytest.raises(RuntimeError, match="it rained"), Lifeline(store, worker="ann", interval_s=60):
        raise RuntimeError("it rained")
    assert store.living(grace_s=30) == set()


def test_a_database_that_is_away_for_a_while_does_not_end_the_beats(
    store: Store, engine: Engine, caplog: pytest.LogCaptureFixture
) -> None:
    with Lifeline(store, worker="ann", interval_s=0.01):
        rename(engine, "evenhand_workers", "away")
        wait_for(lambda: "no heartbeat" in caplog.messages, what="a beat that failed")
        rename(engine, "away", "evenhand_workers")
        seen = last_beat(engine)
        wait_for(lambda: last_beat(engine) != seen, what="another beat")
