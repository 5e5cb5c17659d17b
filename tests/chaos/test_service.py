"""The API killed while it takes sweeps, two APIs on one database, and everything killed at once again and again."""

import json
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest

from service.client import ApiError, Client
from sweep.store import Sweep

from ..service.running import Answer, free_ports, wait_for
from .actor import TAKEN
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
def test_a_request_that_an_api_was_killed_over_is_one_sweep_once_it_is_sent_again(
    plant: Plant, soak: int, note: Note
) -> None:
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
    stored = _stored(plant)
    names = [sweep.name for sweep in stored.values()]
    assert len(set(names)) == len(names), "nothing is there twice"
    assert {answer["id"] for answer in promised} <= stored.keys()
    assert {answer["name"] for answer in promised} <= set(names) <= set(asked)
    assert promised
    unanswered = set(asked) - {answer["name"] for answer in promised}
    assert unanswered
    plant.api(port)
    with Client(f"http://127.0.0.1:{port}") as client:
        again = {name: client.submit(json.dumps(_body(name)).encode(), key=name)["id"] for name in unanswered}
    taken = again | {answer["name"]: answer["id"] for answer in promised}
    stored = _stored(plant)
    assert {sweep.name: sweep.id for sweep in stored.values()} == taken
    assert len(stored) == len(taken) == len(asked)
    for _ in range(2):
        plant.worker()
    plant.await_end(list(stored.values()), within_s=60 + 3 * len(stored))
    note(*stored.values())


@both
def test_a_sweep_whose_api_was_killed_before_it_answered_is_one_when_it_is_sent_again(plant: Plant, note: Note) -> None:
    port, body = free_ports()[0], json.dumps(_body("taken")).encode()
    plant.api(port, dies=TAKEN)
    (api,) = plant.living
    with Client(f"http://127.0.0.1:{port}") as client:
        with pytest.raises(ApiError, match=r"with the key \w+ \(--key\)") as unanswered:
            client.submit(body)
        plant.buried(api)
        (sweep,) = _stored(plant).values()
        plant.api(port)
        key = str(unanswered.value).partition("with the key ")[2].split()[0]
        assert client.submit(body, key=key)["id"] == sweep.id
    assert _stored(plant).keys() == {sweep.id}
    plant.worker()
    plant.await_end([sweep])
    note(sweep)


def test_two_apis_on_one_database_take_sweeps_side_by_side_and_one_that_both_are_asked_for_once(
    plant: Plant, note: Note
) -> None:
    apis = [plant.api(), plant.api()]
    for _ in range(2):
        plant.worker()
    asked = [(api, {**BODY, "trials": 2, "name": f"sweep {number}"}) for number in range(6) for api in apis]
    with ThreadPoolExecutor(12) as clients:
        taken = list(clients.map(lambda each: _answer(*each, {"Idempotency-Key": each[1]["name"]}), asked))
    sweeps = list(_stored(plant).values())
    assert {(answer["name"], answer["id"]) for answer in taken} == {(sweep.name, sweep.id) for sweep in sweeps}
    assert len(sweeps) == 6
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


def _stored(plant: Plant) -> dict[str, Sweep]:
    return {sweep.id: sweep for sweep in plant.parts.store.page(limit=100_000)}


def _body(name: str) -> Answer:
    return {**BODY, "name": name, "trials": 1, "alpha": 0.1, "training": {"epochs": 1}}


def _points(plant: Plant, sweep: Sweep) -> Sequence[object]:
    """Number, point, and every seed with what it gave."""
    return [(slot.number, slot.params, slot.last and slot.last.replicates) for slot in plant.slots(sweep)]


def _post(api: httpx.Client, **fields: object) -> Answer:
    return _answer(api, {**BODY, **fields}, {})


def _answer(api: httpx.Client, body: Answer, headers: dict[str, str]) -> Answer:
    answer = api.post("/v1/sweeps", json=body, headers=headers)
    assert answer.status_code == 201, answer.text
    found: Answer = answer.json()
    return found


def _post_until(over: threading.Event, port: int, asked: list[str]) -> list[Answer]:
    """What was answered with 201 of one request after the other, each under a name of its own, which is its key."""
    return list(_answered(over, port, asked))


def _answered(over: threading.Event, port: int, asked: list[str]) -> Iterator[Answer]:
    with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=20) as api:
        while not over.is_set():
            name = f"{threading.get_ident()}-{len(asked)}-{port}"
            asked.append(name)
            try:
                yield _answer(api, _body(name), {"Idempotency-Key": name})
            except httpx.TransportError:
                return
