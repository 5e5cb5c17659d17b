"""How large a body may be: the rest is refused before it is read, whether its length is stated or not."""

import json
import socket
from collections.abc import Iterator

import httpx
import pytest

from service.body import MAX_BODY_BYTES
from service.client import ApiError, Client

from .running import Up, evenhand

JSON = {"content-type": "application/json"}
PIECE = 65_536


def refused(answer: httpx.Response) -> None:
    """Asserts that an answer is a problem that says what to do."""
    assert (answer.status_code, answer.headers["content-type"]) == (413, "application/problem+json")
    problem = answer.json()
    assert problem["status"] == 413
    assert problem["title"] == "The body is larger than 1,000,000 bytes"
    assert "data folder" in problem["detail"]


def pieces(size: int) -> Iterator[bytes]:
    while size > 0:
        yield b" " * min(size, PIECE)
        size -= PIECE


@pytest.mark.parametrize("size", [MAX_BODY_BYTES + 1, 20 * MAX_BODY_BYTES])
def test_a_body_of_a_stated_length_over_the_limit_is_refused(size: int, api: httpx.Client) -> None:
    refused(api.post("/v1/sweeps", content=b" " * size, headers=JSON))
    assert api.get("/healthz").status_code == 200


@pytest.mark.parametrize("size", [MAX_BODY_BYTES + 1, 20 * MAX_BODY_BYTES])
def test_a_body_in_pieces_over_the_limit_is_refused(size: int, api: httpx.Client) -> None:
    refused(api.post("/v1/sweeps", content=pieces(size), headers=JSON))
    assert api.get("/healthz").status_code == 200


def test_a_stated_length_over_the_limit_is_refused_before_anything_of_the_body_was_sent(service: Up) -> None:
    head = "POST /v1/sweeps HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
    with socket.create_connection(("127.0.0.1", service.port), timeout=10) as raw:
        raw.sendall(f"{head}Content-Length: {MAX_BODY_BYTES + 1}\r\n\r\n".encode())
        assert raw.recv(PIECE).startswith(b"HTTP/1.1 413 ")


@pytest.mark.parametrize("is_stated", [True, False], ids=["stated", "in pieces"])
def test_a_body_at_the_limit_is_read(is_stated: bool, api: httpx.Client) -> None:
    content = b" " * MAX_BODY_BYTES if is_stated else pieces(MAX_BODY_BYTES)
    answer = api.post("/v1/sweeps", content=content, headers=JSON)
    assert (answer.status_code, answer.json()["errors"][0]["field"]) == (422, "body")


def test_a_key_is_no_way_round(api: httpx.Client) -> None:
    refused(api.post("/v1/sweeps", content=pieces(MAX_BODY_BYTES + 1), headers={**JSON, "idempotency-key": "k"}))


def test_the_client_and_the_command_say_so(service: Up) -> None:
    body = json.dumps({"dataset": "d" * MAX_BODY_BYTES})
    with Client(service.api) as client, pytest.raises(ApiError, match="data folder") as error:
        client.submit(body.encode())
    assert error.value.status == 413
    done = evenhand("submit", "-", url=service.api, text=body)
    assert (done.returncode, done.stdout) == (2, "")
    assert "larger than 1,000,000 bytes" in done.stderr


def test_the_refusal_is_described(api: httpx.Client) -> None:
    told = api.get("/openapi.json").json()["paths"]["/v1/sweeps"]["post"]["responses"]["413"]
    assert "application/problem+json" in told["content"]
