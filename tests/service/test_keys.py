"""API keys: every route of /v1 asks for one where the operator gave some; health does not."""

import asyncio
from pathlib import Path

import httpx
import pytest
from pydantic import SecretStr

from service.app import create_app
from service.client import Client
from sweep.settings import Settings

from .test_client import server


def ask(keys: str, path: str, header: str | None, data_dir: Path) -> httpx.Response:
    app = create_app(Settings(data_dir=data_dir, api_keys=SecretStr(keys)))
    headers = {} if header is None else {"authorization": header}

    async def get() -> httpx.Response:
        transport = httpx.ASGITransport(app)
        async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as client:
            return await client.get(path, headers=headers)

    return asyncio.run(get())


@pytest.mark.parametrize("header", [None, "Bearer second", "Bearer ", "Basic first", "Bearer first, third"])
def test_a_request_without_a_known_key_is_refused_and_told_how_to_bear_one(header: str | None, tmp_path: Path) -> None:
    answer = ask("first, third", "/v1/losses", header, tmp_path)
    assert (answer.status_code, answer.headers["www-authenticate"]) == (401, "Bearer")
    assert answer.headers["content-type"] == "application/problem+json"
    assert "key" in answer.json()["detail"]


@pytest.mark.parametrize("header", ["Bearer first", "bearer third"])
def test_any_of_the_keys_opens(header: str, tmp_path: Path) -> None:
    assert ask("first, third", "/v1/losses", header, tmp_path).status_code == 200


@pytest.mark.parametrize("keys", ["", " , "])
def test_no_key_is_needed_where_there_is_none(keys: str, tmp_path: Path) -> None:
    assert ask(keys, "/v1/losses", None, tmp_path).status_code == 200


def test_health_needs_no_key(tmp_path: Path) -> None:
    assert ask("first", "/healthz", None, tmp_path).status_code == 200


def test_every_other_route_asks_for_the_key_and_says_so(tmp_path: Path) -> None:
    app = create_app(Settings(data_dir=tmp_path))
    told = {path: one for path, ones in app.openapi()["paths"].items() for one in ones.values()}
    assert {path for path, one in told.items() if not one.get("security")} == {"/healthz", "/readyz"}
    assert len(told) > 8


def test_keys_are_not_printed_with_the_settings() -> None:
    assert "hush" not in repr(Settings(api_keys=SecretStr("hush")))


def test_the_client_bears_the_key_of_its_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EVENHAND_API_KEY", "mine")
    with server([(200, "{}")]) as (url, _), Client(url) as client:
        assert client._http.headers["authorization"] == "Bearer mine"
