"""Many trials in one training: as wide as asked or measured, kept full, and none at the mercy of another."""

from collections.abc import Callable, Sequence
from pathlib import Path

import httpx
import optuna
import pytest

from sweep.store import Sweep
from worker import pace
from worker.training.trace import State
from worker.training.trainer import Training
from worker.training.trial import Member

from ..gate import Gate
from .bench import Bench, Runs, wait_for


def note_joins(monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, int]]:
    """How many members join a training each time from now on, and how many are in it then."""
    joined: list[tuple[int, int]] = []
    join = Training.join

    def noted(self: Training, members: Sequence[Member], states: Sequence[State | None] = ()) -> range:
        positions = join(self, members, states)
        joined.append((len(members), len(self.live)))
        return positions

    monkeypatch.setattr(Training, "join", noted)
    return joined


@pytest.fixture
def runs(bench: Bench, mlflow: httpx.Client) -> Callable[[Sweep], Runs]:
    """The runs of a sweep."""
    return lambda sweep: Runs(mlflow, str(bench.parts.store.get(sweep.id).experiment_id))


def test_waiting_trials_take_the_places_of_those_that_are_pruned_and_nothing_else_changes(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    rates = [0.02, 0.021, 0.022, 0.023, 0.024, 1e-7, 0.019, 1e-8, 0.025]
    training = {"epochs": 4, "batch_size": 16}
    fields = {"alpha": 0.1, "search": {"lr": rates}, "replicates": 2, "pruner": "median", "baselines": ["focal"]}
    narrow = bench.submit(**fields, training=training)  # type: ignore[arg-type]
    bench.work_off(narrow, width=1)
    wide = bench.submit(**fields, training=training)  # type: ignore[arg-type]
    joined = note_joins(monkeypatch)
    bench.work_off(wide, width=5)
    assert [count for count, _ in joined if count][:2] == [2, 8]  # the trial in hand, and four beside it
    assert len([count for count, _ in joined if count]) >= 3
    assert max(live for _, live in joined) == 10
    slots = bench.slots(wide)
    assert [slot.state for slot in slots if slot.state not in ("complete", "pruned")] == []
    assert {slot.state for slot in slots} == {"complete", "pruned"}
    for ours, theirs in zip(slots, bench.slots(narrow), strict=True):
        assert ours.last is not None and theirs.last is not None
        assert len(ours.attempts) == 1
        if ours.state == theirs.state == "complete":  # what is pruned depends on what has been told before
            assert ours.last.replicates == theirs.last.replicates


def test_with_mlflow_away_a_worker_goes_on_in_stacks_of_its_share(
    tmp_path: Path, gate: Gate, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench = Bench.at(tmp_path, mlflow_url=gate.url)
    for other in ("bob", "cid", "dan"):
        bench.parts.store.beat(other)
    sweep = bench.submit(sampler="random", alpha={"low": 0.1, "high": 0.9}, trials=16, replicates=1)
    joined = note_joins(monkeypatch)
    with bench.worker("ann", width=8):
        wait_for(lambda: sum(count for count, _ in joined) == 16, what="the training of all")
        gate.open()
        bench.ended(sweep)
    assert sorted(count for count, _ in joined)[-3:] == [4, 4, 4]  # the first may find one slot laid, or more
    assert [slot.state for slot in bench.slots(sweep)] == ["complete"] * 16


def test_a_result_that_the_database_does_not_take_is_made_again_and_costs_the_others_nothing(
    bench: Bench, runs: Callable[[Sweep], Runs], monkeypatch: pytest.MonkeyPatch
) -> None:
    sweep = bench.submit(alpha=[0.1, 0.2, 0.3], replicates=1)
    tell, failed = optuna.Study.tell, []

    def broken_once(self: optuna.Study, trial: optuna.Trial, *rest: object, **more: object) -> object:
        if not failed and rest[0] is not None:
            failed.append(trial.user_attrs["slot"])
            raise optuna.exceptions.StorageInternalError("database is locked")
        return tell(self, trial, *rest, **more)  # type: ignore[arg-type]

    monkeypatch.setattr(optuna.Study, "tell", broken_once)
    bench.work_off(sweep, width=3)
    slots = bench.slots(sweep)
    assert [slot.state for slot in slots] == ["complete"] * 3
    assert [[attempt.outcome for attempt in slot.attempts] for slot in slots] == [
        ["lost", "complete"] if slot.number in failed else ["complete"] for slot in slots
    ]
    assert sorted(run["info"]["status"] for run in runs(sweep).of(failed[0])) == ["FINISHED", "KILLED"]


def test_a_worker_that_measures_its_width_works_off_a_sweep_that_is_all_warm_up(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pace, "_UNDISTURBED", 0.0)  # kept, however busy the machine is
    training = {"epochs": 2, "warmup_epochs": 2}
    sweep = bench.submit(alpha=[0.1, 0.2], search={"batch_size": [16, 64]}, training=training, replicates=2)
    with bench.worker("ann", width="auto"):
        bench.ended(sweep)
    assert [slot.state for slot in bench.slots(sweep)] == ["complete"] * 4
    assert len(list((bench.settings.data_dir / "paces").iterdir())) == 1  # measured with the first trial, not with each
