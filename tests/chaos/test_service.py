"""The API killed while it takes sweeps, two APIs on one database, and everything killed at once again and again."""

import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest

from sweep.store import Sweep

from ..service.running import Answer, free_ports, wait_for
from .conftest import Note, only_sqlite_unless_soaking
from .plant import BODY, Plant, answers

pytestmark = pytest.mark.chaos
both = pytest.mark.parametrize("database", ["sqlite", "postgresql"], indirect=True)
RANGE = {"low": 0.001, "high": 1.0, "log": True}
SAMPLERS: dict[str, Answer] = {
    "random": {"sampler": "random", "alpha": RANGE, "trials": 6},
    "qmc": {"sampler": "qmc", "alpha": RANGE, "trials": 6},
    "grid": {"sampler": "grid", "alpha": [0.0, 0.01, 0.03, 0.1, 0.3, 1.0]},
}


@both
def test_whatever_an_api_answered_before_it_was_killed_is_there_once(plant: Plant, soak: int, note: Note) -> None:
    port, asked, promised = free_ports()[0], [], []
    clients = ThreadPoolExecutor(3)
    for _ in range(4 * soak):
        plant.api(port)
        over = threading.Event()
        posting = [clients.submit(_post_until, over, port, asked) for _ in range(3)]
        over.wait(plant.dice.uniform(0.05, 0.3))
        plant.kill_all()
        over.set()
        promised += [answer for each in posting for answer in each.result(60)]
    clients.shutdown()
    stored = {sweep.id: sweep for sweep in plant.parts.store.page(limit=100_000)}
    names = [sweep.name for sweep in stored.values()]
    assert len(set(names)) == len(names), "nothing is there twice"
    assert {answer["id"] for answer in promised} <= stored.keys()
    assert {answer["name"] for answer in promised} <= set(names) <= set(asked)
    assert promised
    for _ in range(2):
        plant.worker()
    plant.await_end(list(stored.values()), within_s=60 + 3 * len(stored))
    note(*stored.values())


def test_two_apis_on_one_database_take_sweeps_side_by_side(plant: Plant, note: Note) -> None:
    apis = [plant.api(), plant.api()]
    for _ in range(2):
        plant.worker()
    bodies = [(apis[number % 2], {**BODY, "trials": 2, "name": f"sweep {number}"}) for number in range(6)]
    with ThreadPoolExecutor(6) as clients:
        taken = [answer.json() for answer in clients.map(lambda each: each[0].post("/v1/sweeps", json=each[1]), bodies)]
    sweeps = [plant.parts.store.get(answer["id"]) for answer in taken]
    plant.await_end(sweeps)
    for sweep in sweeps:
        shown = [api.get(f"/v1/sweeps/{sweep.id}").json() for api in apis]
        assert shown[0] == shown[1]
        assert (shown[0]["state"], shown[0]["progress"]["complete"]) == ("finished", 2)
    note(*sweeps)


@both
def test_everything_killed_again_and_again_changes_no_answer(plant: Plant, soak: int, note: Note) -> None:
    only_sqlite_unless_soaking(plant, soak)
    plant.worker()
    calm = [plant.submit(seed=7, **fields) for fields in SAMPLERS.values()]
    plant.await_end(calm)
    plant.living.pop().kill()
    port = free_ports()[0]
    api = plant.api(port)
    wild = [plant.parts.store.get(_post(api, seed=7, **fields)["id"]) for fields in SAMPLERS.values()]
    for _ in range(10 * soak):
        for _ in range(2):
            plant.worker()
        threading.Event().wait(plant.dice.uniform(0.5, 2.5))
        plant.kill_all()
        plant.api(port, is_awaited=False)
    for _ in range(2):
        plant.worker()
    plant.await_end(wild)
    assert [_points(plant, sweep) for sweep in wild] == [_points(plant, sweep) for sweep in calm]
    assert wait_for(lambda: answers(api), within_s=30, what="the last API")
    note(*calm, *wild)


def _points(plant: Plant, sweep: Sweep) -> Sequence[object]:
    """Number, point, and every seed with what it gave."""
    return [(slot.number, slot.params, slot.last and slot.last.replicates) for slot in plant.slots(sweep)]


def _post(api: httpx.Client, **fields: object) -> Answer:
    answer = api.post("/v1/sweeps", json={**BODY, **fields})
    assert answer.status_code == 201, answer.text
    found: Answer = answer.json()
    return found


def _post_until(over: threading.Event, port: int, asked: list[str]) -> list[Answer]:
    """What was answered with 201 of one request after the other, each under a name of its own."""
    return list(_answered(over, port, asked))


def _answered(over: threading.Event, port: int, asked: list[str]) -> Iterator[Answer]:
    with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=20) as api:
        while not over.is_set():
            name = f"{threading.get_ident()}-{len(asked)}-{port}"
            asked.append(name)
            try:
                yield _post(api, name=name, trials=1, alpha=0.1, training={"epochs": 1})
            except httpx.TransportError:
                return
