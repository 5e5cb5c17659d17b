"""Workers killed at any moment and at chosen places, stopped past their grace, too many, and with wrong clocks."""

import os
import resource
import signal
import time
from datetime import UTC, datetime

import pytest

from ..service.running import wait_for
from .actor import PLACES
from .conftest import Note, only_sqlite_unless_soaking
from .plant import GRACE_S, Plant, in_training

pytestmark = pytest.mark.chaos
both = pytest.mark.parametrize("database", ["sqlite", "postgresql"], indirect=True)


@both
def test_workers_killed_at_random_cost_attempts_and_no_trial(plant: Plant, soak: int, note: Note) -> None:
    pruned = plant.submit(trials=12, pruner="median", training={"epochs": 6})
    sweeps = [pruned, plant.submit(trials=12, baselines=["focal"])]
    for _ in range(3):
        plant.worker()
    while plant.kills < 25 * soak:
        time.sleep(plant.dice.choice((0.1, 0.8, 1.6)) * plant.dice.uniform(0.5, 1.5))
        plant.kill(plant.dice.choice([*plant.living, plant.living[-1]]))  # the youngest is still coming up
        plant.worker()
        if plant.has_ended(sweeps[-1]):
            sweeps.append(plant.submit(trials=12))
    plant.await_end(sweeps)
    assert "pruned" in {slot.state for slot in plant.slots(pruned)}
    assert note(*sweeps).lost_attempts > 0


@both
def test_a_worker_killed_at_every_place_that_matters_leaves_nothing_amiss(plant: Plant, note: Note) -> None:
    plant.lease_s = 2.0
    sweep = plant.submit(trials=2)
    for place in PLACES:
        plant.buried(plant.worker(dies=place))
    plant.worker()
    plant.await_end([sweep])
    figures = note(sweep)
    assert figures.kills == len(PLACES)
    assert figures.lost_attempts >= 3


def test_a_worker_stopped_past_its_grace_is_refused_and_lives_on(plant: Plant, note: Note) -> None:
    sweep = plant.submit(trials=1, alpha=0.1, training={"epochs": 60})
    late = plant.worker()
    held = plant.await_slot(sweep, in_training, what="a trial in training")
    assert late.pid is not None
    assert held.last is not None
    os.kill(late.pid, signal.SIGSTOP)
    other = plant.worker()
    plant.await_end([sweep], within_s=60)
    assert [attempt.outcome for attempt in plant.slots(sweep)[0].attempts] == ["lost", "complete"]
    os.kill(late.pid, signal.SIGCONT)
    plant.kill(other)
    wait_for(lambda: "ended_before" in plant.log(late), within_s=30, what="the refusal of its tell")
    wait_for(lambda: held.last and held.last.worker in _living(plant), within_s=30, what="its signs of life")
    another = plant.submit(trials=2)
    plant.await_end([another])
    assert {attempt.worker for slot in plant.slots(another) for attempt in slot.attempts} == {held.last.worker}
    assert note(sweep, another).lost_attempts == 1


@both
def test_sixteen_workers_do_ten_trials_ten_times_in_all(plant: Plant, soak: int, note: Note) -> None:
    only_sqlite_unless_soaking(plant, soak)
    plant.grace_s = 60  # nobody dies, and sixteen on two cores may be silent for a while
    for _ in range(16):
        plant.worker()
    wait_for(lambda: len(_living(plant)) == 16, within_s=60, what="sixteen workers")
    sweep = plant.submit(trials=10)
    plant.await_end([sweep])
    assert [len(slot.attempts) for slot in plant.slots(sweep)] == [1] * 10
    assert [slot.state for slot in plant.slots(sweep)] == ["complete"] * 10
    note(sweep)


@both
def test_workers_whose_clocks_are_an_hour_off_take_nothing_from_each_other(plant: Plant, note: Note) -> None:
    sweep = plant.submit(trials=6)
    early, late = plant.worker(clock_s=-3600), plant.worker(clock_s=3600)
    plant.await_slot(sweep, in_training, what="a trial in training")
    plant.worker()
    plant.kill(plant.dice.choice((early, late)))
    plant.await_end([sweep])
    attempts = [attempt for slot in plant.slots(sweep) for attempt in slot.attempts if attempt.started_at]
    off_s = {abs((attempt.started_at - datetime.now(UTC)).total_seconds()) for attempt in attempts}
    assert max(off_s) > 3000, "their clocks were indeed wrong"
    assert note(sweep).lost_attempts <= 2, "only the killed one's, of which it held two at most"


def _living(plant: Plant) -> set[str]:
    return plant.parts.store.living(grace_s=GRACE_S)


@both
def test_a_full_disk_costs_the_trials_that_met_it_and_no_more(plant: Plant, note: Note) -> None:
    worker = plant.worker()
    assert worker.pid is not None
    wait_for(lambda: _living(plant), within_s=60, what="a worker")
    largest = max(path.stat().st_size for path in plant.folder.iterdir())
    resource.prlimit(worker.pid, resource.RLIMIT_FSIZE, (largest + 8_192, resource.RLIM_INFINITY))
    sweep = plant.submit(trials=12)
    wait_for(lambda: is_full(plant.log(worker)), within_s=60, what="a full disk")
    time.sleep(5)
    resource.prlimit(worker.pid, resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    plant.await_end([sweep])
    assert worker.is_alive(), plant.log(worker)
    for slot in plant.slots(sweep):
        assert slot.last is not None
        assert slot.state == "complete" or is_full(slot.last.reason or "")
    note(sweep)


def is_full(text: str) -> bool:
    return any(words in text for words in ("File too large", "disk is full", "disk I/O error"))
