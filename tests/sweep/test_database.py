"""The database: our tables brought up to date, beside Optuna's, by anybody and by all at once."""

import subprocess
import sys
from pathlib import Path

from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import Engine, inspect, text

from sweep.database import engine_for, exclusive, migrate
from sweep.studies import Studies
from sweep.tables import METADATA, VERSION_TABLE

CONNECT = """
import sys
from sweep.database import engine_for, exclusive, migrate
from sweep.studies import Studies
url = sys.argv[1]
sys.stdin.readline()
with exclusive(url):
    migrate(engine_for(url))
    Studies(url, max_retry=1)
"""


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
        assert connection.execute(text(f"select version_num from {VERSION_TABLE}")).scalar_one() == "0001"
    assert theirs.startswith("v")


def test_processes_that_connect_to_a_new_database_at_once_all_succeed(database: str) -> None:
    processes = [
        subprocess.Popen([sys.executable, "-c", CONNECT, database], stdin=subprocess.PIPE, stderr=subprocess.PIPE)
        for _ in range(3)
    ]
    ends = [process.communicate(b"go\n", timeout=60) for process in processes]
    assert [process.returncode for process in processes] == [0, 0, 0], b"\n".join(end[1] for end in ends).decode()
    engine = engine_for(database)
    assert ours(engine) == {*METADATA.tables, VERSION_TABLE}
    engine.dispose()


def test_a_transaction_on_sqlite_holds_the_write_lock_from_its_start(database: str, engine: Engine) -> None:
    other = engine_for(f"{database}?timeout=0.05")
    with engine.begin() as connection:
        connection.execute(text("select 1"))
        taken = subprocess.run(
            [
                sys.executable, "-c",
                "import sqlite3, sys; sqlite3.connect(sys.argv[1], timeout=0.05).execute('BEGIN IMMEDIATE')",
                str(engine.url.database),
            ],
            capture_output=True, text=True, check=False,
        )  # fmt: skip
    other.dispose()
    assert "database is locked" in taken.stderr


def test_the_folder_of_a_new_database_is_made_and_a_database_elsewhere_needs_no_lock_file(tmp_path: Path) -> None:
    with exclusive(f"sqlite:///{tmp_path / 'deep' / 'down' / 'x.db'}"):
        assert (tmp_path / "deep" / "down").is_dir()
    with exclusive("postgresql://somewhere/x"), exclusive("sqlite://"):
        pass
