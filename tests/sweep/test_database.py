"""What is SQLite's alone: the write lock, and the lock file beside the database."""

import subprocess
import sys
from pathlib import Path

import pytest
from sqlalchemy import Engine, create_engine, text

from sweep.database import engine_for, exclusive
from sweep.errors import DatabaseAway
from sweep.outage import Pool


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


def test_the_folder_of_a_new_database_is_made_and_one_in_memory_needs_no_lock(tmp_path: Path) -> None:
    with exclusive(f"sqlite:///{tmp_path / 'deep' / 'down' / 'x.db'}"):
        assert (tmp_path / "deep" / "down").is_dir()
    with exclusive("sqlite://"):
        pass


def test_a_file_that_cannot_be_opened_counts_as_a_database_that_is_away(tmp_path: Path) -> None:
    engine = engine_for(f"sqlite:///{tmp_path / 'gone' / 'x.db'}")  # as where a process has too many files open
    with pytest.raises(DatabaseAway, match="unable to open database file"):
        engine.connect()


def test_where_no_connection_comes_free_the_database_counts_as_away() -> None:
    engine = create_engine("sqlite://", poolclass=Pool, pool_size=1, max_overflow=1, pool_timeout=0.01)
    with engine.connect(), engine.connect(), pytest.raises(DatabaseAway, match="All 2 connections"):
        engine.connect()
    with engine.connect() as connection:
        assert connection.scalar(text("SELECT 1")) == 1


def test_servers_have_such_a_pool() -> None:
    assert isinstance(engine_for("postgresql+psycopg://evenhand@localhost/evenhand").pool, Pool)
