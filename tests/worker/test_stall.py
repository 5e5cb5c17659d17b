"""A worker whose training hangs ends itself; one that waits for something else does not."""

import time

import pytest

from worker import stall
from worker.stall import Stall

from .bench import wait_for

LIMIT_S = 0.5


@pytest.fixture
def codes(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Exit codes with which the process would have ended."""
    codes: list[int] = []
    monkeypatch.setattr(stall.os, "_exit", codes.append)
    return codes


def test_a_step_that_does_not_end_ends_the_process(codes: list[int], caplog: pytest.LogCaptureFixture) -> None:
    with Stall(worker="ann", limit_s=LIMIT_S) as watch, watch.epoch():
        wait_for(lambda: codes, what="the end", within_s=30)
    assert codes[0] == 1
    assert "stalled" in caplog.messages


def test_waiting_between_two_steps_does_not(codes: list[int]) -> None:
    with Stall(worker="ann", limit_s=LIMIT_S) as watch, watch.epoch():
        watch.between(lambda: time.sleep(3 * LIMIT_S))()
    assert codes == []


def test_waiting_outside_of_an_epoch_does_not(codes: list[int]) -> None:
    with Stall(worker="ann", limit_s=LIMIT_S) as watch:
        with watch.epoch():
            watch.between(lambda: None)()
        watch.between(lambda: None)()  # a test of what has ended
        time.sleep(3 * LIMIT_S)
    assert codes == []


def test_an_epoch_may_take_long_as_long_as_its_steps_do_not(codes: list[int]) -> None:
    with Stall(worker="ann", limit_s=LIMIT_S) as watch, watch.epoch():
        step = watch.between(lambda: None)
        until = time.monotonic() + 3 * LIMIT_S
        while time.monotonic() < until:
            step()
            time.sleep(LIMIT_S / 20)
    assert codes == []
