"""Patience with a database that is away for a moment: what may be done twice is tried again."""

import functools
import logging
import threading
from collections.abc import Callable
from typing import Concatenate, ParamSpec, Protocol, TypeVar

from tenacity import RetryCallState, Retrying, retry_if_exception_type, wait_exponential, wait_random

from .errors import DatabaseAway

_WITHOUT_STOP_S = 10.0
_LONGEST_PAUSE_S = 2.0
_P = ParamSpec("_P")
_T = TypeVar("_T")
_log = logging.getLogger(__name__)


class Patience:
    """Insists until `stop` is set; without it for ten seconds, in which most servers have restarted."""

    def __init__(self, stop: threading.Event | None = None) -> None:
        """A worker that is to leave sets `stop`, and from then on everything is tried once."""
        self._stop = stop

    def insist(self, call: Callable[[bool], _T]) -> _T:
        """What `call` answers once it does not raise DatabaseAway; it is told whether it was tried before."""
        for attempt in Retrying(
            retry=retry_if_exception_type(DatabaseAway),
            wait=wait_exponential(multiplier=0.1, max=_LONGEST_PAUSE_S) + wait_random(0, 0.1),
            stop=self._is_over,
            before_sleep=_say,
            reraise=True,
        ):
            with attempt:
                return call(attempt.retry_state.attempt_number > 1)
        raise AssertionError("the last attempt raises")

    def _is_over(self, state: RetryCallState) -> bool:
        if self._stop is not None:
            return self._stop.is_set()
        return (state.seconds_since_start or 0.0) >= _WITHOUT_STOP_S


class _Patient(Protocol):
    @property
    def patience(self) -> Patience: ...


_S = TypeVar("_S", bound=_Patient)


def patiently(method: Callable[Concatenate[_S, _P], _T]) -> Callable[Concatenate[_S, _P], _T]:
    """The method, tried again while the database is away: for one that may be done twice."""

    @functools.wraps(method)
    def insisting(self: _S, /, *args: _P.args, **kwargs: _P.kwargs) -> _T:
        return self.patience.insist(lambda _again: method(self, *args, **kwargs))

    return insisting


def _say(state: RetryCallState) -> None:
    assert state.outcome is not None
    facts = {"action": "database_away", "attempt": state.attempt_number, "reason": str(state.outcome.exception())}
    _log.warning("database away", extra=facts)
