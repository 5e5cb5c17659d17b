"""Idempotency-Key over HTTP: one sweep a key, however often it is sent, and what is refused."""

import asyncio
import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Event

import httpx
import pytest

from service.app import create_app
from sweep.parts import Parts
from sweep.settings import Settings

from .running import ENDLESS, Answer

JSON = {"content-type": "application/json"}


@pytest.fixture
def body(request: pytest.FixtureRequest, api: httpx.Client) -> Iterator[Answer]:
    """A body whose name is the test's own; what was submitted under it is cancelled afterwards."""
    body = ENDLESS | {"name": request.node.name[-100:]}
    yield body
    for sweep in named(api, body):
        api.post(f"/v1/sweeps/{sweep['id']}/cancel")


def named(api: httpx.Client, body: Answer) -> list[Answer]:
    found: list[Answer] = api.get("/v1/sweeps", params={"name": body["name"]}).json()["items"]
    return found


def post(api: httpx.Client, key: str | bytes, body: object) -> httpx.Response:
    return api.post("/v1/sweeps", json=body, headers={"Idempotency-Key": key})  # type: ignore[dict-item]


def test_a_request_that_is_sent_again_is_the_same_sweep(api: httpx.Client, body: Answer) -> None:
    first, again = post(api, body["name"], body), post(api, body["name"], dict(reversed(body.items())))
    assert (first.status_code, again.status_code) == (201, 201)
    assert "idempotency-replayed" not in first.headers
    assert again.headers["idempotency-replayed"] == "true"
    assert again.headers["location"] == first.headers["location"] == f"/v1/sweeps/{first.json()['id']}"
    (sweep,) = named(api, body)
    assert again.json()["id"] == first.json()["id"] == sweep["id"]
    assert again.json()["spec"] == first.json()["spec"]


def test_an_ended_sweep_is_answered_as_it_is_now(api: httpx.Client, body: Answer) -> None:
    sweep = post(api, body["name"], body).json()
    api.post(f"/v1/sweeps/{sweep['id']}/cancel")
    again = post(api, body["name"], body)
    assert (again.status_code, again.json()["id"], again.json()["wanted"]) == (201, sweep["id"], "cancel")


def test_requests_without_a_key_are_sweeps_of_their_own(api: httpx.Client, body: Answer) -> None:
    answers = [api.post("/v1/sweeps", json=body) for _ in range(2)]
    assert len({answer.json()["id"] for answer in answers}) == 2
    assert not any("idempotency-replayed" in answer.headers for answer in answers)


def test_the_same_key_with_another_body_is_refused_and_names_the_header(api: httpx.Client, body: Answer) -> None:
    sweep = post(api, body["name"], body).json()
    refused = post(api, body["name"], body | {"seed": 8})
    assert (refused.status_code, refused.headers["content-type"]) == (422, "application/problem+json")
    (error,) = refused.json()["errors"]
    assert error["field"] == "header.Idempotency-Key"
    assert sweep["id"] in error["problem"]
    assert "a new key" in error["expected"]
    assert refused.json()["detail"].startswith("Idempotency-Key ")
    assert len(named(api, body)) == 1


def test_a_key_of_a_refused_body_is_free_for_the_mended_one(api: httpx.Client, body: Answer) -> None:
    assert post(api, body["name"], body | {"alpha": 7}).status_code == 422
    taken = post(api, body["name"], body)
    assert (taken.status_code, "idempotency-replayed" in taken.headers) == (201, False)


@pytest.mark.parametrize("key", [b"", b"k" * 256, "schlüssel".encode(), b"a\tb"], ids=repr)
def test_what_is_no_key_is_refused_and_names_the_header(key: bytes, api: httpx.Client, body: Answer) -> None:
    refused = post(api, key, body)
    assert (refused.status_code, refused.headers["content-type"]) == (422, "application/problem+json")
    (error,) = refused.json()["errors"]
    assert error["field"] == "header.Idempotency-Key"
    assert error["expected"].startswith("1 to 255 printable ASCII characters")
    assert "header" in refused.json()["detail"]
    assert named(api, body) == []


def test_the_longest_key_is_taken(api: httpx.Client, body: Answer) -> None:
    assert [post(api, "k" * 255, body).status_code for _ in range(2)] == [201, 201]
    assert len(named(api, body)) == 1


def test_a_wrong_key_and_a_wrong_body_are_named_at_once(api: httpx.Client, body: Answer) -> None:
    refused = post(api, "", body | {"trials": 0})
    assert {error["field"] for error in refused.json()["errors"]} == {"header.Idempotency-Key", "trials"}


@pytest.mark.parametrize("content", [b"", b"{", b"dataset=digits"])
@pytest.mark.parametrize("kind", ["application/json", "application/x-www-form-urlencoded"])
def test_a_body_that_is_no_json_is_refused_under_a_key_too(kind: str, content: bytes, api: httpx.Client) -> None:
    headers = {"content-type": kind, "idempotency-key": "k"}
    assert api.post("/v1/sweeps", content=content, headers=headers).status_code == 422


def test_a_key_that_is_sent_many_times_at_once_is_one_sweep(api: httpx.Client, body: Answer) -> None:
    with ThreadPoolExecutor(8) as clients:
        answers = list(clients.map(lambda _: post(api, body["name"], body), range(8)))
    assert {answer.status_code for answer in answers} == {201}
    assert {answer.json()["id"] for answer in answers} == {sweep["id"] for sweep in named(api, body)}
    assert len(named(api, body)) == 1
    assert ["idempotency-replayed" in answer.headers for answer in answers].count(False) == 1


def test_what_was_taken_is_answered_though_nothing_more_would_be(tmp_path: Path) -> None:
    settings = Settings(data_dir=tmp_path)
    full = settings.model_copy(update={"disk_floor_mb": 10**9})
    body = json.dumps(ENDLESS).encode()
    taken, answered, refused = ask(settings, "a", body), ask(full, "a", body), ask(full, "b", body)
    assert (taken.status_code, answered.status_code, refused.status_code) == (201, 201, 507)
    assert answered.json()["id"] == taken.json()["id"]


def test_the_header_is_described(api: httpx.Client) -> None:
    told = api.get("/openapi.json").json()["paths"]["/v1/sweeps"]["post"]
    (header,) = told["parameters"]
    assert (header["name"], header["in"], header["required"]) == ("Idempotency-Key", "header", False)
    assert "Idempotency-Replayed" in told["responses"]["201"]["headers"]


def ask(settings: Settings, key: str, body: bytes) -> httpx.Response:
    """The answer of an application of its own to a submission."""
    app, once = create_app(settings), Event()
    once.set()
    app.state.parts = parts = Parts.connect(settings, holder="api", stop=once)

    async def post() -> httpx.Response:
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://localhost") as client:
            return await client.post("/v1/sweeps", content=body, headers={**JSON, "idempotency-key": key})

    try:
        return asyncio.run(post())
    finally:
        parts.studies.close()
        parts.store._engine.dispose()
