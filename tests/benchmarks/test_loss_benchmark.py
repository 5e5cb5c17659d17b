"""The loss benchmark's sides do the same work, and its tables say what was timed."""

import json
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from benchmarks import loss as benchmark
from benchmarks.loss import (
    OURS,
    PEERS,
    PLAIN,
    QUICK,
    Alone,
    Batch,
    Effort,
    Step,
    compare,
    criteria,
    disagreements,
    labels,
)


@pytest.fixture(autouse=True)
def _threads_left_alone() -> Iterator[None]:
    threads = torch.get_num_threads()
    yield
    torch.set_num_threads(threads)


def test_the_sides_do_the_same_work() -> None:
    assert list(disagreements()) == []


def test_a_side_that_does_other_work_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    def of_twice(classes: int, *, alpha: float = 0.5) -> dict[str, torch.nn.Module]:
        return criteria(classes, alpha=alpha) | {PEERS: torch.nn.CrossEntropyLoss()}

    monkeypatch.setattr(benchmark, "criteria", of_twice)

    assert any(OURS in found and PEERS in found for found in disagreements())


def test_a_benchmark_of_unlike_sides_fails_and_says_why(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(benchmark, "disagreements", lambda: iter(["the losses differ"]))
    monkeypatch.setattr(sys, "argv", ["loss", "--quick"])

    assert benchmark.main() == 1
    assert "the losses differ" in capsys.readouterr().err


def test_steps_of_one_seed_see_the_same_samples() -> None:
    one, other = (Step(criteria(10)[PLAIN], batches=2) for _ in range(2))

    assert [one().item() for _ in range(3)] == [other().item() for _ in range(3)]
    assert one.samples == 3 * 128


def test_every_side_is_called_equally_often() -> None:
    calls = dict.fromkeys((PLAIN, OURS, PEERS), 0)

    def side(name: str) -> torch.Tensor:
        calls[name] += 1
        return torch.zeros(())

    effort = Effort(rounds=3, blocks=2, block_s=0.0)
    compare({name: lambda name=name: side(name) for name in calls}, effort)

    assert calls == dict.fromkeys(calls, 2 + 3 * 2)


def test_what_disturbs_neighbours_alike_does_not_show(monkeypatch: pytest.MonkeyPatch) -> None:
    factors = {PLAIN: 1.0, OURS: 1.04}
    clock = 0.0
    called = 0

    def side(name: str) -> torch.Tensor:
        nonlocal clock, called
        clock += factors[name] * 2.0 ** (called // 14)  # every seven turns the machine gets twice as slow
        called += 1
        return torch.zeros(())

    monkeypatch.setattr(benchmark.time, "thread_time", lambda: clock)

    timed = compare({name: lambda name=name: side(name) for name in factors}, Effort(rounds=4, blocks=9, block_s=0.0))

    ratio = timed[OURS].over_plain
    assert (ratio.low, ratio.high) == pytest.approx((1.04, 1.04))


def test_labels_are_imbalanced_in_the_shape_of_the_batch() -> None:
    batch = Batch(samples=512, classes=3, pixels=(4, 4))
    counts = torch.bincount(labels(batch, generator=torch.Generator().manual_seed(0)).flatten(), minlength=3)

    assert str(batch) == "512x4x4"
    assert counts.sum() == 512 * 16
    # 100 to 10 to 1.
    assert counts[0] / counts[1] == pytest.approx(10, rel=0.3)
    assert counts[1] / counts[2] == pytest.approx(10, rel=0.4)


def test_the_loss_alone_answers_its_gradient_afresh() -> None:
    alone = Alone(criteria(4)[PLAIN], Batch(samples=8, classes=4))

    assert torch.equal(alone(), alone())


def test_a_run_keeps_both_tables(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["loss"])
    monkeypatch.setattr(benchmark, "STEPS", QUICK)
    monkeypatch.setattr(benchmark, "ALONE", QUICK)
    monkeypatch.setattr(
        benchmark, "BATCHES", [Batch(samples=16, classes=4), Batch(samples=2, classes=3, pixels=(4, 4))]
    )

    assert benchmark.main() == 0

    steps, alone = (
        json.loads((tmp_path / f"benchmarks/results/{name}.json").read_text()) for name in ("loss", "loss_alone")
    )
    assert [row["loss"] for row in steps["rows"]] == [PLAIN, OURS, PEERS]
    assert steps["rows"][0][f"over {PLAIN}"] == {"median": 1, "low": 1, "high": 1}
    assert [row["batch"] for row in alone["rows"]] == ["16", "2x4x4"]
    assert all(row[f"{OURS} over {PLAIN}"]["median"] > 0 for row in alone["rows"])
