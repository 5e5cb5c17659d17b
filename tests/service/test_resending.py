"""A submission whose answer is lost on the way: the client sends it again, and it is one sweep."""

import json
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import httpx
import pytest

from service.client import ApiError, Client

from ..serving import Quiet, serving
from .running import ENDLESS, Answer, Up, evenhand
from .test_client import server

KEY = re.compile(r"sent again with the key (\w{32}) \(--key\) it is one sweep")


@contextmanager
def lossy(api: str, *, losing: int) -> Iterator[tuple[str, list[str]]]:
    """A way to the API on which the first `losing` answers are lost: its address, and the keys that came by."""
    keys: list[str] = []

    class Handler(Quiet):
        def do_POST(self) -> None:
            content = self.rfile.read(int(self.headers["content-length"]))
            keys.append(self.headers["idempotency-key"])
            headers = {name: self.headers[name] for name in ("content-type", "idempotency-key")}
            answer = httpx.post(f"{api}{self.path}", content=content, headers=headers, timeout=30)
            if len(keys) <= losing:
                self.close_connection = True
                return
            self.answer(answer.status_code, answer.content)

    with serving(Handler) as url:
        yield url, keys


Taken = Callable[[], list[str]]


@pytest.fixture
def body(request: pytest.FixtureRequest) -> bytes:
    return json.dumps(ENDLESS | {"name": request.node.name}).encode()


@pytest.fixture
def taken(request: pytest.FixtureRequest, api: httpx.Client) -> Iterator[Taken]:
    """The ids of the sweeps that were taken in the test, which are cancelled afterwards."""

    def ids() -> list[str]:
        items: list[Answer] = api.get("/v1/sweeps", params={"name": request.node.name}).json()["items"]
        return [sweep["id"] for sweep in items]

    yield ids
    for sweep_id in ids():
        api.post(f"/v1/sweeps/{sweep_id}/cancel")


def test_a_submission_whose_answer_was_lost_is_sent_again_under_its_key(service: Up, body: bytes, taken: Taken) -> None:
    with lossy(service.api, losing=2) as (url, keys), Client(url) as client:
        assert [client.submit(body)["id"]] == taken()
    assert len(keys) == 3
    assert len(set(keys)) == 1


def test_every_submission_has_a_key_of_its_own(service: Up, body: bytes, taken: Taken) -> None:
    with lossy(service.api, losing=0) as (url, keys), Client(url) as client:
        assert {client.submit(body)["id"], client.submit(body)["id"]} == set(taken())
        client.submit(body, key=keys[0])
    assert len(taken()) == 2
    assert keys[2] == keys[0] != keys[1]


def test_a_submission_that_stays_unanswered_tells_its_key_with_which_it_is_one_sweep(
    service: Up, body: bytes, taken: Taken
) -> None:
    with lossy(service.api, losing=9) as (url, keys), Client(url) as client, pytest.raises(ApiError) as error:
        client.submit(body)
    told = KEY.search(str(error.value))
    assert told is not None
    assert {told[1]} == set(keys)
    done = evenhand("submit", "-", "--key", told[1], "--json", url=service.api, text=body.decode())
    assert [json.loads(done.stdout)["id"]] == taken()


def test_the_command_submits_once_over_a_way_that_loses_answers(service: Up, body: bytes, taken: Taken) -> None:
    with lossy(service.api, losing=1) as (url, _):
        done = evenhand("submit", "-", "--json", url=url, text=body.decode())
    assert (done.returncode, done.stderr) == (0, "")
    assert [json.loads(done.stdout)["id"]] == taken()


@pytest.mark.parametrize("status", [500, 502, 503, 504])
def test_a_server_that_cannot_say_whether_it_was_taken_is_asked_once_and_the_key_is_told(status: int) -> None:
    with server([(status, "away")]) as (url, sent), Client(url) as client, pytest.raises(ApiError) as error:
        client.submit(b"{}")
    assert KEY.search(str(error.value))
    assert (error.value.status, len(sent)) == (status, 1)


@pytest.mark.parametrize("status", [401, 413, 422, 507])
def test_a_refusal_is_no_doubt(status: int) -> None:
    with server([None, (status, "no")]) as (url, sent), Client(url) as client, pytest.raises(ApiError) as error:
        client.submit(b"{}")
    assert (str(error.value), error.value.status, len(sent)) == ("no", status, 2)


def test_what_never_reached_a_server_cannot_have_been_taken() -> None:
    with server([]) as (url, _):
        pass
    with Client(url) as client, pytest.raises(ApiError, match="No answer from") as error:
        client.submit(b"{}")
    assert "--key" not in str(error.value)


@pytest.mark.parametrize("key", ["", " k", "k\n", "schlüssel", "k" * 256])
def test_what_is_no_key_is_refused_before_anything_is_sent(key: str) -> None:
    with server([]) as (url, sent):
        done = evenhand("submit", "-", "--key", key, url=url, text="{}")
    assert (done.returncode, done.stdout, sent) == (2, "", [])
    assert done.stderr.startswith("Idempotency-Key: ")
    assert "Expected 1 to 255 printable ASCII characters" in done.stderr
