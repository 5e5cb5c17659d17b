"""A worker that was asked to leave is gone in time, and lets go of what it holds before."""

import threading
from dataclasses import dataclass, field

import pytest

from sweep.errors import Untold
from sweep.store import Store
from worker import drain
from worker.drain import Drain

from .bench import wait_for


@dataclass
class Held:
    """Something that notes when it was abandoned."""

    name: str
    abandoned: list[str]
    reasons: list[str] = field(default_factory=list)

    def abandon(self, reason: str) -> None:
        self.abandoned.append(self.name)
        self.reasons.append(reason)


class Unanswered(Held):
    """The same on a database that is away."""

    def abandon(self, reason: str) -> None:
        super().abandon(reason)
        raise Untold("There is no connection.")


@pytest.fixture
def codes(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Exit codes with which the process would have ended."""
    codes: list[int] = []
    monkeypatch.setattr(drain.os, "_exit", codes.append)
    return codes


def test_what_is_held_goes_back_from_the_inside_before_the_process_ends(store: Store, codes: list[int]) -> None:
    stop, abandoned = threading.Event(), list[str]()
    courier, batch = Held("courier", abandoned), Held("batch", abandoned)
    store.beat("ann")
    leaving = Drain(store, worker="ann", timeout_s=0.05, stop=stop)
    with leaving, leaving.holding(courier), leaving.holding(batch):
        stop.set()
        wait_for(lambda: codes, what="the end")
    assert (abandoned, codes, store.living(grace_s=60)) == (["batch", "courier"], [0], set())
    assert "did not come to an end in time" in batch.reasons[0]


def test_who_leaves_in_time_is_left_alone(store: Store, codes: list[int]) -> None:
    stop, abandoned = threading.Event(), list[str]()
    with Drain(store, worker="ann", timeout_s=30, stop=stop) as leaving, leaving.holding(Held("batch", abandoned)):
        stop.set()
    leaving._thread.join(10)
    assert (abandoned, codes) == ([], [])


def test_a_database_that_is_away_is_asked_once(store: Store, codes: list[int]) -> None:
    stop, abandoned = threading.Event(), list[str]()
    leaving = Drain(store, worker="ann", timeout_s=0, stop=stop)
    with leaving, leaving.holding(Held("courier", abandoned)), leaving.holding(Unanswered("batch", abandoned)):
        stop.set()
        wait_for(lambda: codes, what="the end")
    assert (abandoned, codes) == (["batch"], [0])
