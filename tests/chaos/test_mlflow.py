"""MLflow away, slow, answering 500, or taking what it is told and losing the answer, while a sweep runs."""

import time
from collections.abc import Iterator
from random import Random

import pytest

from .conftest import Note
from .plant import Plant, in_training
from .weather import Sky, Weather

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
