"""The benchmarks of the service compare equal work, and take the time of what they say they do."""

import threading
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from unittest.mock import MagicMock, Mock

import pytest

from benchmarks import overhead, service
from benchmarks.equal import Unequal
from benchmarks.overhead import PARTS, RECONCILE, Stopwatch
from benchmarks.peers.command import Result
from benchmarks.service import Trained, check_equal
from benchmarks.works import WORKS


def trials(*scores: float, samples: int = 100) -> list[Result]:
    return [Result(alpha=0.1, samples=samples, steps=4, final={"balanced_accuracy": score}) for score in scores]


SIDE = Trained(seconds=1.0, trials=trials(0.70, 0.72, 0.74), finished=3, points=30)


def test_sides_that_did_the_same_work_are_equal() -> None:
    check_equal(SIDE, replace(SIDE, seconds=9.0, trials=trials(0.71, 0.75, 0.75), points=12))


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"finished": 2}, r"as many trials and FINISHED runs on both sides, got \[2, 3\]"),
        ({"trials": trials(0.70, 0.72)}, r"as many trials"),
        ({"trials": trials(0.70, 0.72, 0.74, samples=99)}, r"as many samples and steps"),
        ({"trials": trials(0.42, 0.44, 0.46)}, r"the mean final score within 0\.199 of ours, got 0\.440 and 0\.720"),
    ],
)
def test_sides_that_did_other_work_are_found(fields: dict[str, object], said: str) -> None:
    with pytest.raises(Unequal, match=said):
        check_equal(SIDE, replace(SIDE, **fields))  # type: ignore[arg-type]


def test_every_row_has_rounds_enough_for_a_spread() -> None:
    assert service.ROUNDS >= 2
    assert set(overhead.ROUNDS) == set(overhead.AIMS)
    assert min(overhead.ROUNDS.values()) >= 2


def test_what_a_part_calls_counts_once() -> None:
    watch = Stopwatch()
    inner = watch.timed(lambda: time.sleep(0.03), "inner")
    outer = watch.timed(lambda: (time.sleep(0.01), inner()), "outer")

    _in_the_worker(lambda: [outer(), inner()])

    assert watch.seconds["inner"] == pytest.approx(0.06, abs=0.02)
    assert watch.seconds["outer"] == pytest.approx(0.01, abs=0.01)


def test_reconciling_is_one_part_whatever_it_calls() -> None:
    watch = Stopwatch()
    inner = watch.timed(lambda: time.sleep(0.02), "finish")

    _in_the_worker(watch.timed(inner, RECONCILE))

    assert set(watch.seconds) == {RECONCILE}


def test_other_threads_are_not_timed() -> None:
    watch = Stopwatch()

    assert watch.timed(lambda: 7, "log")() == 7

    assert not watch.seconds


def test_the_parts_are_timed_only_meanwhile() -> None:
    before = [getattr(owner, name) for owner, name, _ in PARTS]

    with Stopwatch().running():
        assert all(getattr(owner, name) is not one for (owner, name, _), one in zip(PARTS, before, strict=True))

    assert [getattr(owner, name) for owner, name, _ in PARTS] == before


def test_whoever_trains_alone_has_warmed_up_before_the_first_round(monkeypatch: pytest.MonkeyPatch) -> None:
    done = []

    class Crew:
        def __init__(self, *_: object, **__: object) -> None: ...

        def warm(self, task: Callable[[object], object]) -> None:
            done.append("warm")

        def leave(self) -> None: ...

    monkeypatch.setattr(overhead, "Crew", Crew)
    monkeypatch.setattr(overhead, "Paces", lambda _: Mock())
    monkeypatch.setattr(overhead, "at_once", lambda _: 1)
    monkeypatch.setattr(overhead, "warm", lambda *_: None)
    monkeypatch.setattr(overhead, "through_service", lambda *_: done.append("service") or SIDE)
    monkeypatch.setattr(overhead, "alone", lambda *_, **__: done.append("alone") or 0.5)
    work = MagicMock(work=WORKS["digits"])

    overhead.added(work, Mock(), data_dir=Path(), rounds=1)

    assert done == ["warm", "service", "alone"]


def _in_the_worker(call) -> None:  # type: ignore[no-untyped-def]
    thread = threading.Thread(target=call, name="timed-worker")
    thread.start()
    thread.join()
