"""Whether the service lives, and whether what it leans on does."""

import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from .running import environment, free_ports, wait_for


@pytest.fixture
def lonely(tmp_path: Path) -> Iterator[httpx.Client]:
    """An API whose MLflow refuses every connection."""
    port, _ = free_ports()
    command = [sys.executable, "-m", "uvicorn", "--factory", "service.app:create_app", "--port", str(port)]
    with socket.socket() as silent:  # bound and never listening
        silent.bind(("127.0.0.1", 0))
        address = f"http://127.0.0.1:{silent.getsockname()[1]}"
        surroundings = environment() | {"EVENHAND_DATA_DIR": str(tmp_path), "MLFLOW_TRACKING_URI": address}
        quiet = subprocess.DEVNULL
        with subprocess.Popen(command, env=surroundings, stdout=quiet, stderr=quiet) as server:
            try:
                with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=30) as client:
                    wait_for(lambda: _lives(client), within_s=60, what="an API without MLflow")
                    yield client
            finally:
                server.terminate()


def test_a_healthy_service_is_alive_and_ready_with_its_workers(api: httpx.Client) -> None:
    assert api.get("/healthz").json() == {"status": "ok"}
    assert api.get("/readyz").json() == {"status": "ready", "workers": 2}


def test_without_mlflow_the_service_lives_and_answers_but_is_not_ready(lonely: httpx.Client) -> None:
    assert lonely.get("/healthz").json() == {"status": "ok"}
    answer = lonely.get("/readyz")
    assert (answer.status_code, answer.headers["content-type"]) == (503, "application/problem+json")
    assert "MLflow" in answer.json()["detail"]
    assert lonely.get("/v1/sweeps").json() == {"items": [], "next_cursor": None}


def _lives(client: httpx.Client) -> bool:
    try:
        return client.get("/healthz").is_success
    except httpx.TransportError:
        return False


def test_a_405_says_what_is_allowed(api: httpx.Client) -> None:
    answer = api.delete("/v1/sweeps")
    assert (answer.status_code, "allow" in answer.headers) == (405, True)


def test_the_description_tells_the_shape_of_refusals(api: httpx.Client) -> None:
    responses = api.get("/openapi.json").json()["paths"]["/v1/sweeps"]["post"]["responses"]
    assert list(responses["422"]["content"]) == ["application/problem+json"]


def test_a_host_of_another_name_is_refused(api: httpx.Client) -> None:
    assert api.get("/healthz", headers={"host": "evil.example"}).status_code == 400
