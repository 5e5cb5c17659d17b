"""MLflow away, slow, answering 500, or taking what it is told and losing the answer, while a sweep runs."""

import time
from collections.abc import Iterator
from pathlib import Path
from random import Random

import pytest

from benchmarks.weather import Sky, Weather
from sweep.store import Sweep

from ..service.running import wait_for
from .conftest import Note
from .plant import Plant, in_training

pytestmark = pytest.mark.chaos


@pytest.fixture
def weather(mlflow_url: str, dice: Random) -> Iterator[Weather]:
    """The way to MLflow, fair at first."""
    weather = Weather(mlflow_url, dice)
    yield weather
    weather.close()


@pytest.mark.parametrize("sky", ["away", "slow", "broken", "lossy"])
def test_a_sweep_waits_for_mlflow_and_ends_as_if_nothing_had_been(
    sky: Sky, weather: Weather, plant: Plant, soak: int, note: Note
) -> None:
    plant.lease_s = None
    sweep = plant.submit(trials=8)
    for _ in range(2):
        plant.worker(mlflow_url=weather.url)
    plant.await_slot(sweep, in_training, what="a trial in training")
    weather.sky = sky
    time.sleep(6 * soak)
    if sky == "away":
        assert not plant.has_ended(sweep)
        wait_for(lambda: len(spooled(plant, sweep)) == unfinished(plant, sweep) > 0, within_s=30, what="all on disk")
    assert weather.spoiled > 0 or sky in ("away", "slow")
    weather.sky = "fair"
    plant.await_end([sweep])
    assert {slot.state for slot in plant.slots(sweep)} == {"complete"}
    assert note(sweep).lost_attempts == 0


def test_a_sweep_that_is_submitted_while_mlflow_is_away_begins_once_it_is_back(
    weather: Weather, plant: Plant, note: Note
) -> None:
    weather.sky = "away"
    sweep = plant.submit(trials=4)
    plant.worker(mlflow_url=weather.url)
    plant.await_slot(sweep, lambda slot: slot.state == "running", what="a claim")
    time.sleep(3)
    weather.sky = "fair"
    plant.await_end([sweep])
    assert {slot.state for slot in plant.slots(sweep)} == {"complete"}
    note(sweep)


@pytest.mark.parametrize("where", ["the same folder", "another machine"])
def test_what_a_worker_killed_meanwhile_had_trained_is_found_on_disk_or_trained_again(
    where: str, weather: Weather, plant: Plant, note: Note
) -> None:
    undisturbed = plant.submit(trials=6)
    plant.worker()
    plant.await_end([undisturbed])
    plant.kill_all()
    weather.sky = "away"
    sweep = plant.submit(trials=6)
    killed = plant.worker(mlflow_url=weather.url)
    wait_for(lambda: len(spooled(plant, sweep)) == 6, within_s=30, what="six records on disk")
    plant.kill(killed)
    weather.sky = "fair"
    heir = plant.worker(folder=None if where == "the same folder" else plant.folder / "elsewhere")
    plant.await_end([sweep])
    assert plant.log(heir).count("action=found") == (6 if where == "the same folder" else 0)
    assert results(plant, sweep) == results(plant, undisturbed)
    assert note(undisturbed, sweep).lost_attempts == 6
    plant.kill(heir)
    plant.worker()
    wait_for(lambda: spooled(plant, sweep) == [], within_s=30, what="an empty spool")


def unfinished(plant: Plant, sweep: Sweep) -> int:
    return [slot.state for slot in plant.slots(sweep)].count("running")


def spooled(plant: Plant, sweep: Sweep) -> list[Path]:
    return list(plant.folder.glob(f"spool/{sweep.id}/*.zip"))


def results(plant: Plant, sweep: Sweep) -> list[object]:
    return [(slot.params, slot.last.value, slot.last.replicates) for slot in plant.slots(sweep) if slot.last]
