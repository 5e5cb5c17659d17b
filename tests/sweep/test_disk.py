"""Below a floor of free disk nothing new is begun, and it is said where users look."""

import asyncio
import shutil
from pathlib import Path
from types import SimpleNamespace

import httpx
import pytest

from service.app import create_app
from sweep.disk import check_space
from sweep.errors import NoSpace
from sweep.settings import Settings
from worker.run import _has_space


@pytest.fixture
def full(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """Settings of a folder whose disk has 499 MB left."""
    monkeypatch.setattr(shutil, "disk_usage", lambda path: SimpleNamespace(free=499_900_000))
    return Settings(data_dir=tmp_path, mlflow_tracking_uri="http://127.0.0.1:1")


def test_the_refusal_names_what_is_free_the_floor_and_the_remedy(full: Settings) -> None:
    with pytest.raises(
        NoSpace, match=r"499 MB are free .* below 500\. Make room there, or lower EVENHAND_DISK_FLOOR_MB"
    ):
        check_space(full)
    check_space(full.model_copy(update={"disk_floor_mb": 499}))


@pytest.mark.parametrize(("method", "path"), [("POST", "/v1/sweeps"), ("GET", "/readyz")])
def test_the_api_takes_no_sweep_and_is_not_ready(method: str, path: str, full: Settings) -> None:
    app = create_app(full)
    body = {"dataset": "toy2d", "imbalance": {"profile": "exponential", "ratios": [2]}}

    async def ask() -> httpx.Response:
        async with app.router.lifespan_context(app):
            transport = httpx.ASGITransport(app)
            async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as client:
                return await client.request(method, path, json=body if method == "POST" else None)

    answer = asyncio.run(ask())
    assert (answer.status_code, answer.json()["title"]) == (507, "Too little disk is free")
    assert "499 MB" in answer.json()["detail"]


def test_a_worker_says_once_that_it_begins_nothing(full: Settings, caplog: pytest.LogCaptureFixture) -> None:
    assert not _has_space(full, before=True)
    assert not _has_space(full, before=False)
    assert [record.message for record in caplog.records] == ["no space"]
