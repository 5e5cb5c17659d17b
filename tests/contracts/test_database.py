"""The database: our tables brought up to date, beside Optuna's, by anybody and by all at once."""

from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import Engine, inspect, text

from sweep import database as module
from sweep.database import engine_for, migrate
from sweep.errors import DatabaseAway
from sweep.studies import Studies
from sweep.tables import METADATA, VERSION_TABLE

from ..postgres import Postgres
from .claimants import at_once, connect

LOCK = text("LOCK TABLE evenhand_leases")


def ours(engine: Engine) -> set[str]:
    return {name for name in inspect(engine).get_table_names() if name.startswith("evenhand_")}


def test_migrating_makes_the_tables_that_the_code_uses(engine: Engine) -> None:
    assert ours(engine) == {*METADATA.tables, VERSION_TABLE}
    with engine.begin() as connection:
        context = MigrationContext.configure(
            connection,
            opts={
                "version_table": VERSION_TABLE,
                "compare_type": True,
                "include_name": lambda name, kind, _: kind != "table" or str(name).startswith("evenhand_"),
            },
        )
        assert compare_metadata(context, METADATA) == []


def test_migrating_again_changes_nothing(engine: Engine) -> None:
    with engine.begin() as connection:
        connection.execute(text("insert into evenhand_leases values ('kept', 'ann', '2030-01-01 00:00:00')"))
    migrate(engine)
    with engine.begin() as connection:
        assert connection.execute(text("select name from evenhand_leases")).scalars().all() == ["kept"]
        assert connection.execute(text(f"select count(*) from {VERSION_TABLE}")).scalar_one() == 1


def test_optunas_version_and_ours_stand_side_by_side(engine: Engine, studies: Studies) -> None:
    with engine.begin() as connection:
        theirs = connection.execute(text("select version_num from alembic_version")).scalar_one()
        assert connection.execute(text(f"select version_num from {VERSION_TABLE}")).scalar_one() == "0002"
    assert theirs.startswith("v")


def test_processes_that_connect_to_a_new_database_at_once_all_succeed(empty: str, tmp_path: Path) -> None:
    assert at_once(connect, [(empty, str(tmp_path))] * 4) == [True] * 4
    engine = engine_for(empty)
    assert ours(engine) == {*METADATA.tables, VERSION_TABLE}
    engine.dispose()


def test_a_process_that_is_stopped_in_a_transaction_loses_it_and_what_it_had_locked(
    postgres: Postgres, template: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(module._LIMITS_MS, "idle_in_transaction_session_timeout", 300)
    url = postgres.make(template=template)
    stopped, other = engine_for(url), engine_for(url)
    with stopped.connect() as connection:
        connection.execute(LOCK)
        with other.begin() as waiting:
            waiting.execute(LOCK)
        with pytest.raises(DatabaseAway):
            connection.execute(LOCK)
    with stopped.begin() as connection:
        connection.execute(LOCK)
    for engine in (stopped, other):
        engine.dispose()
    postgres.drop(url)


def test_a_lock_that_does_not_come_free_is_an_outage_and_an_address_may_set_other_limits(
    postgres: Postgres, template: str
) -> None:
    url = postgres.make(template=template)
    holder, hasty = engine_for(url), engine_for(f"{url}?options=-c%20lock_timeout%3D200")
    with holder.begin() as connection:
        connection.execute(LOCK)
        with pytest.raises(DatabaseAway, match="lock timeout"), hasty.begin() as waiting:
            waiting.execute(LOCK)
        limits = ("lock_timeout", "idle_in_transaction_session_timeout")
        assert [connection.execute(text(f"SHOW {limit}")).scalar_one() for limit in limits] == ["1min", "30s"]
    for engine in (holder, hasty):
        engine.dispose()
    postgres.drop(url)
