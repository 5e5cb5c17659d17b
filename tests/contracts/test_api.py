"""The API while its database is away: 503 with a time to come back, and then answers as before."""

import asyncio
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest

from service.app import create_app
from sweep.parts import Parts
from sweep.settings import Settings

from ..postgres import Postgres

Ask = Callable[[str], httpx.Response]


@pytest.fixture
def ask(postgres: Postgres, tmp_path: Path) -> Iterator[Ask]:
    """The answers of an API on an empty PostgreSQL; it tries once, so that the test is short."""
    url, once = postgres.make(), threading.Event()
    once.set()
    settings = Settings(database_url=url, data_dir=tmp_path)
    app = create_app(settings)
    app.state.parts = parts = Parts.connect(settings, holder="api", stop=once)

    async def get(path: str) -> httpx.Response:
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://localhost") as client:
            return await client.get(path)

    yield lambda path: asyncio.run(get(path))
    parts.studies.close()
    parts.store._engine.dispose()
    postgres.drop(url)


def test_while_the_database_is_away_the_api_says_so_and_when_to_come_back(ask: Ask, postgres: Postgres) -> None:
    assert ask("/v1/sweeps").json() == {"items": [], "next_cursor": None}
    postgres.stop()
    try:
        away = ask("/v1/sweeps")
        assert (away.status_code, away.headers["content-type"]) == (503, "application/problem+json")
        assert away.headers["retry-after"] == "5"
        assert "EVENHAND_DATABASE_URL" in away.json()["detail"]
        assert ask("/healthz").status_code == 200
    finally:
        postgres.start()
    assert ask("/v1/sweeps").json() == {"items": [], "next_cursor": None}
