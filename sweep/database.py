"""The database: engines that claim exactly, and the tables brought up to date."""

import fcntl
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from sqlite3 import Connection as SQLiteConnection

from alembic import command
from alembic.config import Config
from sqlalchemy import Connection, Engine, create_engine, event, text
from sqlalchemy.engine import make_url
from sqlalchemy.exc import IntegrityError, ProgrammingError

_BUSY_TIMEOUT_S = 30


def engine_for(url: str) -> Engine:
    """An engine for our own tables."""
    engine = create_engine(url, **engine_options(url))
    make_exact(engine)
    return engine


def engine_options(url: str) -> dict[str, object]:
    """What `create_engine` is given for `url`, here and in Optuna's storage."""
    if make_url(url).get_backend_name() == "sqlite":
        return {"connect_args": {"timeout": _BUSY_TIMEOUT_S}}
    return {"pool_pre_ping": True}


def make_exact(engine: Engine) -> None:
    """Makes every transaction on SQLite take the write lock at its start; other databases are left alone.

    SQLite knows no row locks and its driver opens no transaction for a SELECT, so a look and the change that follows
    it may be torn apart by another process: without this, trials are claimed twice.
    """
    if engine.dialect.name != "sqlite":
        return

    @event.listens_for(engine, "connect")
    def _on_connect(connection: SQLiteConnection, _record: object) -> None:
        connection.isolation_level = None
        connection.execute("PRAGMA journal_mode=WAL")

    @event.listens_for(engine, "begin")
    def _on_begin(connection: Connection) -> None:
        connection.exec_driver_sql("BEGIN IMMEDIATE")


def migrate(engine: Engine) -> None:
    """Brings our tables to the newest version; does nothing where they are there already."""
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations"))
    with engine.begin() as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, "head")


def create_where_missing(url: str) -> None:
    """Makes the database that `url` names on a server that lacks it; a file makes itself."""
    wished = make_url(url)
    if wished.get_backend_name() == "sqlite":
        return
    engine = create_engine(wished.set(database="postgres"), isolation_level="AUTOCOMMIT")
    named = text("SELECT 1 FROM pg_database WHERE datname = :name")
    try:
        with engine.connect() as connection, suppress(ProgrammingError, IntegrityError):  # or somebody else does
            if connection.execute(named, {"name": wished.database}).first() is None:
                quoted = connection.dialect.identifier_preparer.quote(str(wished.database))
                connection.exec_driver_sql(f"CREATE DATABASE {quoted}")
    finally:
        engine.dispose()


@contextmanager
def exclusive(url: str) -> Iterator[None]:
    """Lets one process at a time through while tables are made; on SQLite by a lock file beside the database."""
    database = make_url(url).database
    if make_url(url).get_backend_name() != "sqlite" or not database:
        yield
        return
    path = Path(database)
    path.parent.mkdir(parents=True, exist_ok=True)
    with Path(f"{path}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


if __name__ == "__main__":  # as MLflow's container makes its own, which MLflow does not
    create_where_missing(sys.argv[1])
