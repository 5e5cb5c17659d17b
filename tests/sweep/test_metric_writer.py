"""The thread that sends metrics: everything, in order, in batches, and whose fault it was."""

import threading
from collections.abc import Sequence

import pytest

from sweep.metric_writer import MetricWriter, Point

Sent = list[tuple[str, list[Point]]]


def test_a_flush_sends_everything_in_order_and_no_more_than_a_thousand_at_once() -> None:
    sent: Sent = []
    writer = MetricWriter(lambda run_id, points: sent.append((run_id, list(points))))
    for step in range(1100):
        writer.put("a", {"x": step, "y": -step}, step=step, timestamp_ms=step)
    writer.put("b", {"z": 7.0}, step=3, timestamp_ms=9)
    writer.flush("a")
    writer.flush("b")
    assert all(len(points) <= 1000 for _, points in sent)
    points = [point for run_id, batch in sent if run_id == "a" for point in batch]
    assert points == [
        Point(key, sign * step, step, step) for step in range(1100) for key, sign in (("x", 1), ("y", -1))
    ]
    assert [batch for run_id, batch in sent if run_id == "b"] == [[Point("z", 7.0, 3, 9)]]


def test_a_flush_of_nothing_returns() -> None:
    MetricWriter(lambda run_id, points: None).flush("a")


def test_metrics_go_out_by_themselves_after_a_while() -> None:
    arrived = threading.Event()
    writer = MetricWriter(lambda run_id, points: arrived.set())
    writer.put("a", {"x": 1.0}, step=1, timestamp_ms=1)
    assert arrived.wait(30)


def test_putting_does_not_wait_for_a_slow_server() -> None:
    go, sent = threading.Event(), list[float]()

    def slow(run_id: str, points: Sequence[Point]) -> None:
        assert go.wait(30)
        sent.extend(point.value for point in points)

    writer = MetricWriter(slow)
    for step in range(3):
        writer.put("a", {"x": step}, step=step, timestamp_ms=step)
    flusher = threading.Thread(target=writer.flush, args=("a",))
    flusher.start()
    writer.put("a", {"x": 3}, step=3, timestamp_ms=3)
    assert sent == []
    go.set()
    flusher.join(30)
    writer.flush("a")
    assert sent == [0, 1, 2, 3]


def test_a_flush_waits_for_what_is_on_its_way_already() -> None:
    sending, go = threading.Event(), threading.Event()

    def slow(run_id: str, points: Sequence[Point]) -> None:
        sending.set()
        assert go.wait(30)

    writer = MetricWriter(slow)
    writer.put("a", {"x": 1.0}, step=1, timestamp_ms=1)
    assert sending.wait(30)
    flusher = threading.Thread(target=writer.flush, args=("a",))
    flusher.start()
    flusher.join(0.2)
    assert flusher.is_alive()
    go.set()
    flusher.join(30)
    assert not flusher.is_alive()


def test_what_went_wrong_is_told_to_whoever_flushes_and_the_next_ones_are_sent() -> None:
    sent: list[float] = []

    def picky(run_id: str, points: Sequence[Point]) -> None:
        if points[0].value < 0:
            raise OSError("no room")
        sent.extend(point.value for point in points)

    writer = MetricWriter(picky)
    writer.put("a", {"x": -1.0}, step=1, timestamp_ms=1)
    with pytest.raises(OSError, match="no room"):
        writer.flush("a")
    writer.put("a", {"x": 2.0}, step=2, timestamp_ms=2)
    writer.flush("a")
    assert sent == [2.0]


def test_one_runs_misfortune_is_not_anothers() -> None:
    sent: list[str] = []

    def picky(run_id: str, points: Sequence[Point]) -> None:
        if run_id == "bad":
            raise OSError("gone")
        sent.append(run_id)

    writer = MetricWriter(picky)
    for run_id in ("bad", "good"):
        writer.put(run_id, {"x": 1.0}, step=1, timestamp_ms=1)
    writer.flush("good")
    assert sent == ["good"]
    with pytest.raises(OSError, match="gone"):
        writer.flush("bad")
    writer.flush("bad")
