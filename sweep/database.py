"""The database: engines that claim exactly, and the tables brought up to date."""

import contextlib
import fcntl
import sys
from collections.abc import Iterator
from pathlib import Path
from sqlite3 import Connection as SQLiteConnection

from alembic import command
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import URL, Connection, Engine, NullPool, create_engine, event, func, select, text
from sqlalchemy.engine import make_url
from sqlalchemy.exc import DBAPIError

from .errors import DatabaseAway, OtherVersion
from .outage import Pool, name_outages
from .tables import VERSION_TABLE

_BUSY_TIMEOUT_S = 30
_POOL: dict[str, object] = {"poolclass": Pool, "pool_size": 2, "max_overflow": 8, "pool_pre_ping": True}
"""A worker's threads need two connections at once, an API's requests more for a moment."""
_CONNECT: dict[str, object] = {
    "connect_timeout": 5, "keepalives_idle": 30, "keepalives_interval": 5, "keepalives_count": 3,
    "tcp_user_timeout": 30_000, "application_name": "evenhand",
}  # fmt: skip
"""A server that vanished without a word is noticed within a minute."""
_LIMITS_MS = {"idle_in_transaction_session_timeout": 30_000, "lock_timeout": 60_000}
"""A process that is stopped in a transaction loses it, and what it had locked, before those who wait give up."""
_LOCK = 0x6576656E68616E64
"""Of the advisory lock: "evenhand" in ASCII."""


def engine_for(url: str) -> Engine:
    """An engine for our own tables."""
    engine = create_engine(url, **engine_options(url))
    prepare(engine)
    return engine


def engine_options(url: str) -> dict[str, object]:
    """What `create_engine` is given for `url`, here and in Optuna's storage."""
    if _is_sqlite(url):
        return {"connect_args": {"timeout": _BUSY_TIMEOUT_S}}
    limits = [f"-c {name}={limit}" for name, limit in _LIMITS_MS.items()]
    theirs = make_url(url).query.get("options", "")  # which ours would replace
    return {**_POOL, "connect_args": {**_CONNECT, "options": " ".join([*limits, str(theirs)])}}


def prepare(engine: Engine) -> None:
    """Lets an engine name outages, and makes its transactions exact on SQLite."""
    name_outages(engine)
    _make_exact(engine)


def _make_exact(engine: Engine) -> None:
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


def version(engine: Engine) -> str | None:
    """The version of our tables; None where there are none."""
    with engine.begin() as connection:
        context = MigrationContext.configure(connection, opts={"version_table": VERSION_TABLE})
        return context.get_current_revision()


def migrate(engine: Engine) -> None:
    """Brings our tables to the newest version; does nothing where they are there already.

    Raises:
        OtherVersion: if they were made by a newer Evenhand.
    """
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations"))
    script, found = ScriptDirectory.from_config(config), version(engine)
    if found is not None and found not in {revision.revision for revision in script.walk_revisions()}:
        raise OtherVersion(
            f"The database is of version {found}, and this Evenhand knows versions up to {script.get_current_head()}."
            " Update Evenhand, or name another database in EVENHAND_DATABASE_URL."
        )
    with engine.begin() as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, "head")


@contextlib.contextmanager
def exclusive(url: str) -> Iterator[None]:
    """Lets one process at a time through while tables are made, on a database that is made where it is missing.

    On SQLite by a lock file beside the database, on PostgreSQL by an advisory lock; both are gone with the process.
    """
    database = make_url(url).database
    if not _is_sqlite(url):
        create_where_missing(make_url(url))
        with _locked(make_url(url)):
            yield
    elif database:
        path = Path(database)
        path.parent.mkdir(parents=True, exist_ok=True)
        with Path(f"{path}.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield
    else:
        yield


@contextlib.contextmanager
def _connected(url: URL) -> Iterator[Connection]:
    """A connection of its own, outside of any transaction, which waits for a lock as long as it takes."""
    engine = create_engine(url, poolclass=NullPool, isolation_level="AUTOCOMMIT", connect_args=dict(_CONNECT))
    name_outages(engine)
    with engine.connect() as connection:
        yield connection


@contextlib.contextmanager
def _locked(url: URL) -> Iterator[Connection]:
    """A connection that holds the lock of its database."""
    with _connected(url) as connection:
        connection.execute(select(func.pg_advisory_lock(_LOCK)))
        yield connection


def create_where_missing(url: URL) -> None:
    """Makes the database that `url` names on a server that lacks it. Raises DatabaseAway without a server."""
    try:
        with _connected(url):
            return
    except DatabaseAway as away:
        try:
            with _locked(url.set(database="postgres")) as connection:
                known = text("SELECT 1 FROM pg_database WHERE datname = :name")
                if url.database and connection.execute(known, {"name": url.database}).first() is None:
                    name = connection.dialect.identifier_preparer.quote_identifier(url.database)
                    connection.execute(text(f"CREATE DATABASE {name}"))
        except (DatabaseAway, DBAPIError) as error:  # which says less than what went wrong at first
            raise away from error


def _is_sqlite(url: str) -> bool:
    return make_url(url).get_backend_name() == "sqlite"


if __name__ == "__main__":  # as MLflow's container makes its own, which MLflow does not
    create_where_missing(make_url(sys.argv[1]))
