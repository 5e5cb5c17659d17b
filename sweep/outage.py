"""What is said of a database that is away: one error for every way in which drivers put it."""

import sqlite3

from sqlalchemy import URL, Engine, ExceptionContext, PoolProxiedConnection, QueuePool, event
from sqlalchemy.exc import OperationalError, TimeoutError

from .errors import DatabaseAway

_PASSING = frozenset(
    {
        sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED, sqlite3.SQLITE_PROTOCOL,
        sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR, sqlite3.SQLITE_CANTOPEN,
    }
)  # fmt: skip
"""Of SQLite: somebody else writes, there is no room on the disk, or the process has too many files open."""


class Pool(QueuePool):
    """Connections that are used again; raises DatabaseAway where none comes free in time."""

    def connect(self) -> PoolProxiedConnection:
        """One that nobody else uses."""
        try:
            return super().connect()
        except TimeoutError as error:
            raise DatabaseAway(
                f"All {self.size() + self._max_overflow} connections to the database are in use. Ask again later."
            ) from error


def name_outages(engine: Engine) -> None:
    """Lets the engine raise DatabaseAway where the server cannot be reached, restarts, or has no time or room for us.

    Optuna takes errors of SQLAlchemy's for a deadlock and adds a trial again, which may have been added; this one it
    lets through.
    """

    @event.listens_for(engine, "handle_error")
    def _on_error(context: ExceptionContext) -> None:
        if not context.is_pre_ping and _is_outage(context):
            reason = str(context.original_exception).strip().splitlines()
            raise DatabaseAway(
                f"The database {_shown(engine.url)} does not answer: {reason[0] if reason else 'no reason given'}."
                " EVENHAND_DATABASE_URL says where it is."
            ) from context.original_exception


def _is_outage(context: ExceptionContext) -> bool:
    if context.is_disconnect:
        return True
    error = context.original_exception
    if isinstance(error, sqlite3.Error):  # where "no such table" is an OperationalError too
        return (getattr(error, "sqlite_errorcode", 0) & 0xFF) in _PASSING
    return isinstance(context.sqlalchemy_exception, OperationalError)


def _shown(url: URL) -> str:
    """The address without what may be secret."""
    return url.set(query={}).render_as_string(hide_password=True)
