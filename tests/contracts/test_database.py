"""The database: our tables brought up to date, beside Optuna's, by anybody and by all at once."""

from pathlib import Path

from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import Engine, inspect, text

from sweep.database import engine_for, migrate
from sweep.studies import Studies
from sweep.tables import METADATA, VERSION_TABLE

from .claimants import at_once, connect


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
