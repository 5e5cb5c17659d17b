"""The database's own clock, which all processes share whatever their hosts' clocks say."""

from typing import Any

from sqlalchemy import DateTime, Float, bindparam
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.functions import FunctionElement


class _Moment(FunctionElement[Any]):
    """The time in UTC, without a zone, so many seconds from now."""

    type = DateTime()
    inherit_cache = True


def moment(seconds: float = 0.0) -> _Moment:
    """The database's time `seconds` from now, in UTC without a zone, as an expression."""
    return _Moment(bindparam(None, float(seconds), type_=Float))


@compiles(_Moment, "postgresql")
def _on_postgresql(element: _Moment, compiler: SQLCompiler, **_: object) -> str:
    seconds = compiler.process(element.clauses)
    return f"((clock_timestamp() AT TIME ZONE 'UTC') + make_interval(secs => {seconds}))"


@compiles(_Moment, "sqlite")
def _on_sqlite(element: _Moment, compiler: SQLCompiler, **_: object) -> str:
    """To the millisecond, in the form in which SQLAlchemy keeps times as text."""
    seconds = compiler.process(element.clauses)
    return f"strftime('%Y-%m-%d %H:%M:%f000', 'now', printf('%f seconds', {seconds}))"
