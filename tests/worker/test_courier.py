"""While MLflow is away trials are trained on, wait on disk, and are told once it is back: by whoever finds them."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from threading import current_thread
from typing import Any

import httpx
import pytest

from sweep import tracking
from sweep.errors import DatabaseAway, Untold
from sweep.slots import Slot
from sweep.store import Sweep, Wanted
from sweep.studies import Claim, Studies
from sweep.tracking import Tracking
from worker.batch import Batch
from worker.training.cohort import Cohort

from ..gate import Gate
from .bench import Bench, Runs, wait_for

FIELDS = {"alpha": [0.1, 0.2, 0.3], "seed": 3}


@pytest.fixture
def bench(tmp_path: Path, gate: Gate, monkeypatch: pytest.MonkeyPatch) -> Bench:
    """A bench whose MLflow is away until the gate is opened, which is noticed soon."""
    monkeypatch.setattr(tracking, "_LONGEST_PAUSE_S", 0.2)
    return Bench.at(tmp_path / "data", mlflow_url=gate.url)


@pytest.fixture
def runs(bench: Bench, mlflow: httpx.Client) -> Callable[[Sweep], Runs]:
    """The runs of a sweep."""
    return lambda sweep: Runs(mlflow, str(bench.parts.store.get(sweep.id).experiment_id))


@pytest.fixture
def trained(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[int]]:
    """An entry an epoch that was trained."""
    epochs: list[int] = []
    train = Cohort.train_epoch
    monkeypatch.setattr(Cohort, "train_epoch", lambda self: (epochs.append(1), train(self))[1])
    yield epochs


def spooled(bench: Bench, sweep: Sweep) -> int:
    return len(list(bench.settings.data_dir.glob(f"spool/{sweep.id}/*.zip")))


def results(slots: list[Slot]) -> list[object]:
    return [(slot.params, slot.last.value, slot.last.replicates) if slot.last else None for slot in slots]


def away(bench: Bench) -> Sweep:
    """A sweep all of whose trials were trained while MLflow was away, by a worker that has left."""
    sweep = bench.submit(**FIELDS)
    with bench.worker("ann"):
        wait_for(lambda: spooled(bench, sweep) == 3, what="three records on disk")
        assert [slot.state for slot in bench.slots(sweep)] == ["running"] * 3  # MLflow has nothing of them
    assert [slot.attempts[0].outcome for slot in bench.slots(sweep)] == ["stopped"] * 3
    assert spooled(bench, sweep) == 3
    return sweep


def undisturbed(bench: Bench) -> Sweep:
    sweep = bench.submit(**FIELDS)
    bench.work_off(sweep)
    return sweep


def test_all_is_told_once_mlflow_is_back_as_if_it_had_never_been_away(
    bench: Bench, gate: Gate, runs: Callable[[Sweep], Runs]
) -> None:
    sweep = bench.submit(**FIELDS)
    with bench.worker("ann"):
        wait_for(lambda: spooled(bench, sweep) == 3, what="three records on disk")
        gate.open()
        bench.ended(sweep)
    other = undisturbed(bench)
    assert results(bench.slots(sweep)) == results(bench.slots(other))
    assert [len(slot.attempts) for slot in bench.slots(sweep)] == [1] * 3
    for number in range(3):
        ours, theirs = runs(sweep).one(number), runs(other).one(number)
        assert ours["info"]["status"] == "FINISHED"
        for key in ("train/loss", "val/recall/9", "importance/9", "test/nll", "value"):
            assert runs(sweep).history(ours, key) == runs(other).history(theirs, key)
        assert runs(sweep).files(ours) == runs(other).files(theirs)
        assert runs(sweep).file(ours, "trajectory.parquet") == runs(other).file(theirs, "trajectory.parquet")
    assert spooled(bench, sweep) == spooled(bench, other) == 0


def test_who_comes_next_in_the_same_folder_trains_nothing_again(
    bench: Bench, gate: Gate, runs: Callable[[Sweep], Runs], trained: list[int]
) -> None:
    sweep = away(bench)
    trained.clear()
    gate.open()
    bench.work_off(sweep)
    assert trained == []
    other = undisturbed(bench)
    assert results(bench.slots(sweep)) == results(bench.slots(other))
    for number in range(3):
        (ours,), theirs = runs(sweep).of(number), runs(other).one(number)
        assert runs(sweep).history(ours, "val/nll") == runs(other).history(theirs, "val/nll")


def test_who_comes_next_in_another_folder_trains_all_again(bench: Bench, gate: Gate, trained: list[int]) -> None:
    sweep = away(bench)
    trained.clear()
    gate.open()
    elsewhere = bench.settings.data_dir.parent / "elsewhere"
    settings = bench.settings.model_copy(update={"data_dir": elsewhere, "database_url": bench.settings.database})
    replace(bench, settings=settings).work_off(sweep)
    assert len(trained) == 3 * 2  # epochs
    assert results(bench.slots(sweep)) == results(bench.slots(undisturbed(bench)))


def test_a_spool_that_takes_nothing_costs_nothing_while_the_worker_lives(bench: Bench, gate: Gate) -> None:
    bench.settings.data_dir.mkdir(exist_ok=True)
    (bench.settings.data_dir / "spool").write_text("where a folder should be")
    sweep = bench.submit(**FIELDS)
    gate.open()
    bench.work_off(sweep)
    assert [slot.state for slot in bench.slots(sweep)] == ["complete"] * 3


def test_records_that_vanish_are_made_again(bench: Bench, gate: Gate) -> None:
    sweep = bench.submit(alpha=[n / 10 for n in range(1, 9)], replicates=1, training={"epochs": 1})
    with bench.worker("ann"):
        wait_for(lambda: spooled(bench, sweep) == 8, what="eight records on disk")
        (bench.settings.data_dir / "spool" / sweep.id).rename(bench.settings.data_dir / "gone")
        gate.open()
        bench.ended(sweep)
    outcomes = [tuple(attempt.outcome for attempt in slot.attempts) for slot in bench.slots(sweep)]
    assert sorted(outcomes) == [("complete",)] * 6 + [("lost", "complete")] * 2  # six were on their way


def test_what_mlflow_refuses_is_the_trials_failure_with_its_reason(
    bench: Bench, gate: Gate, monkeypatch: pytest.MonkeyPatch
) -> None:
    gate.open()
    send = Tracking.send

    def refused(self: Tracking, run_id: str, points: list[object]) -> None:
        if points:
            raise ValueError("no such metric")
        send(self, run_id, [])

    monkeypatch.setattr(Tracking, "send", refused)
    sweep = bench.submit(alpha=0.1)
    bench.work_off(sweep)
    (slot,) = bench.slots(sweep)
    assert slot.last is not None
    assert (slot.state, slot.last.reason) == ("failed", "ValueError: no such metric")
    assert spooled(bench, sweep) == 0


@pytest.mark.parametrize("is_away", [False, True])
def test_a_run_is_finished_where_the_answer_to_its_trials_end_was_lost(
    is_away: bool, bench: Bench, gate: Gate, runs: Callable[[Sweep], Runs], monkeypatch: pytest.MonkeyPatch
) -> None:
    gate.open()
    sweep = bench.submit(alpha=0.1)
    with monkeypatch.context() as patch, bench.worker("ann") as stop:
        complete, slots = Studies.complete, Studies.slots

        def unanswered(self: Studies, claim: Claim, **told: Any) -> None:
            complete(self, claim, **told)
            stop.set()
            raise Untold("The connection broke.")

        def away(self: Studies, sweep: Sweep) -> list[Slot]:
            if current_thread().name.startswith("bearer"):
                raise DatabaseAway("There is no connection.")
            return slots(self, sweep)

        patch.setattr(Studies, "complete", unanswered)
        if is_away:
            patch.setattr(Studies, "slots", away)
        bench.running(sweep)
        wait_for(stop.is_set, what="the trial's end")
    assert runs(sweep).one(0)["info"]["status"] == ("RUNNING" if is_away else "FINISHED")
    bench.work_off(sweep)
    assert [attempt.outcome for attempt in bench.slots(sweep)[0].attempts] == ["complete"]
    assert runs(sweep).one(0)["info"]["status"] == "FINISHED"


def test_a_cancellation_is_heeded_while_mlflow_is_away(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    begun: list[object] = []
    seat = Batch._seat
    monkeypatch.setattr(Batch, "_seat", lambda self, training: (begun.append(1), seat(self, training))[1])
    sweep = bench.submit(alpha=[0.1, 0.2], training={"epochs": 10_000, "batch_size": 8})
    with bench.worker("ann"):
        wait_for(lambda: begun, what="a trial in training")
        bench.parts.store.want(sweep.id, "cancel")
        wait_for(lambda: {slot.state for slot in bench.slots(sweep)} == {"cancelled"}, what="its end", within_s=10)


@pytest.mark.parametrize(("wanted", "state"), [("cancel", "cancelled"), ("pause_now", "waiting")])
def test_what_waits_for_mlflow_is_let_go_where_its_sweep_is_cancelled_or_paused_at_once(
    wanted: Wanted, state: str, bench: Bench, gate: Gate, trained: list[int], runs: Callable[[Sweep], Runs]
) -> None:
    sweep = bench.submit(**FIELDS)
    with bench.worker("ann"):
        wait_for(lambda: spooled(bench, sweep) == 3, what="three records on disk")
        bench.parts.store.want(sweep.id, wanted)
        wait_for(lambda: {slot.state for slot in bench.slots(sweep)} == {state}, what="their end", within_s=10)
        epochs = len(trained)
        gate.open()
        bench.parts.store.want(sweep.id, "run", instead_of=("pause_now",))
        bench.ended(sweep)
    assert len(trained) == epochs  # what had been trained is found where it goes on
    wanted_at_the_end = {"cancel": {"KILLED"}, "pause_now": {"FINISHED"}}[wanted]
    last = {str(slot.last.run_id): slot for slot in bench.slots(sweep) if slot.last and slot.last.run_id}
    told = {run["info"]["status"] for run in runs(sweep).all() if run["info"]["run_id"] in last}
    assert told <= wanted_at_the_end
