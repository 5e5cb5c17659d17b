"""One real service for the session (API, MLflow, two workers), and sweeps that it has answered."""

import csv
import random
from collections.abc import Iterator
from pathlib import Path

import httpx
import numpy as np
import pytest

from .running import ENDLESS, Answer, Up, await_state, submit

CITIES = ("Zürich", "Genève", "St. Gallen", "Bern", "La Chaux-de-Fonds", "Lugano/TI", "Basel")
"""Class names that are no identifiers, and of which MLflow's keys take only some as they are."""


@pytest.fixture(scope="session")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Up]:
    """The service, started as a user starts it, with the user's own data sets in its folder."""
    data_dir = tmp_path_factory.mktemp("service")
    _write_cities(data_dir / "datasets" / "cities")
    _write_stripes(data_dir / "datasets" / "stripes")
    _write_broken(data_dir / "datasets" / "broken")
    with Up(data_dir, workers=2) as up:
        yield up.ready()


@pytest.fixture(scope="session")
def api(service: Up) -> Iterator[httpx.Client]:
    """The API."""
    with httpx.Client(base_url=service.api, timeout=30) as client:
        yield client


@pytest.fixture(scope="session")
def mlflow(service: Up) -> Iterator[httpx.Client]:
    """MLflow's own REST API."""
    with httpx.Client(base_url=service.mlflow, timeout=30) as client:
        yield client


@pytest.fixture(scope="session")
def answered(api: httpx.Client) -> Answer:
    """A finished sweep over digits at two ratios: 3 points of the adaptive loss and two baselines each."""
    sweep = submit(
        api,
        name="the answered one",
        dataset="digits",
        imbalance={"profile": "exponential", "ratios": [1, 10]},
        alpha={"low": 0.01, "high": 1.0, "log": True},
        baselines=["cross_entropy", {"name": "focal", "gamma": 1}],
        trials=3,
        replicates=2,
        sampler="random",
        training={"epochs": 2},
        seed=5,
    )
    ended: Answer = await_state(api, sweep["id"])
    return ended


@pytest.fixture(scope="session")
def planar(api: httpx.Client, answered: Answer) -> Answer:
    """A finished sweep of one trial over toy2d."""
    return _ended(api, "toy2d", name="planar", alpha=0.1, trials=1, replicates=1)


@pytest.fixture(scope="session")
def cities(api: httpx.Client, planar: Answer) -> Answer:
    """A finished sweep over the user's table, as imbalanced as it is."""
    return _ended(api, "cities", imbalance={"profile": "natural"}, alpha=[0.1, 0.5], replicates=1)


@pytest.fixture(scope="session")
def stripes(api: httpx.Client, cities: Answer) -> Answer:
    """A finished sweep over the user's images of 9 by 12 pixels in three classes."""
    return _ended(api, "stripes", alpha=0.1, trials=1, replicates=1)


@pytest.fixture(scope="session")
def cancelled(api: httpx.Client, stripes: Answer) -> Answer:
    """A sweep that was cancelled while one of its trials ran and others waited."""
    sweep = submit(api, **ENDLESS)
    await_state(api, sweep["id"], ["running"], within_s=30)
    assert api.post(f"/v1/sweeps/{sweep['id']}/cancel").status_code == 200
    ended: Answer = await_state(api, sweep["id"], within_s=30)
    return ended


def _ended(api: httpx.Client, dataset: str, **fields: object) -> Answer:
    body = {"imbalance": {"profile": "exponential", "ratios": [2]}, "training": {"epochs": 2}, **fields}
    ended: Answer = await_state(api, submit(api, dataset=dataset, **body)["id"])
    return ended


def _write_cities(folder: Path) -> None:
    """A table with numbers, a category, missing values and seven classes of falling size."""
    folder.mkdir(parents=True)
    draw = random.Random(0)
    with (folder / "people.csv").open("w", newline="", encoding="utf-8") as file:
        table = csv.writer(file)
        table.writerow(["age", "height", "canton", "label"])
        for index, city in enumerate(CITIES):
            for sample in range(70 - 6 * index):
                age = "" if sample % 11 == 3 else f"{draw.gauss(20 + 8 * index, 3):.1f}"
                canton = "" if sample % 13 == 5 else "north" if index % 2 else "south"
                table.writerow([age, f"{draw.gauss(170 + 3 * index, 4):.1f}", canton, city])


def _write_stripes(folder: Path) -> None:
    """Grey images with a bright row whose height tells the class."""
    folder.mkdir(parents=True)
    draw = np.random.default_rng(0)
    labels_N = np.repeat(["low", "middle", "high"], 60)
    images_NHW = draw.integers(0, 80, (180, 9, 12), dtype=np.uint8)
    for sample, row in enumerate(np.repeat([7, 4, 1], 60)):
        images_NHW[sample, row] = 255
    np.savez(folder / "stripes.npz", x=images_NHW, y=labels_N)


def _write_broken(folder: Path) -> None:
    """What no reader takes."""
    folder.mkdir(parents=True)
    (folder / "notes.txt").write_text("nothing to train on")
