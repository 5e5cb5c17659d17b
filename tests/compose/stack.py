"""The composed services under a project name of their own, on free ports, and the damage that is done to them."""

import json
import os
import subprocess
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import httpx

from service.up import Ports

ROOT = Path(__file__).resolve().parents[2]
Answer = dict[str, Any]


class Stack:
    """`docker compose` on this checkout; data and secrets in volumes that go with `destroy`."""

    def __init__(self, *, environment: Mapping[str, str]) -> None:
        ports = Ports.free()
        self.api, self.mlflow = ports.api_url, ports.mlflow_url
        self._environment = os.environ | {
            "COMPOSE_PROJECT_NAME": "evenhand-test",
            "EVENHAND_PORT": str(ports.api),
            "EVENHAND_MLFLOW_PORT": str(ports.mlflow),
            **environment,
        }

    def compose(self, *arguments: str) -> str:
        """What the command prints; raises with its complaints where it fails."""
        done = subprocess.run(
            ["docker", "compose", *arguments], cwd=ROOT, env=self._environment, capture_output=True, text=True
        )
        assert done.returncode == 0, f"docker compose {' '.join(arguments)}:\n{done.stdout}\n{done.stderr}"
        return done.stdout

    def up(self, *arguments: str) -> None:
        """As `make up` does it."""
        self.compose("up", "--build", "--detach", "--wait", *arguments)

    def crash(self, service: str, *, index: int = 1) -> None:
        """Every process of the container dies at once; the restart policy brings it back."""
        subprocess.run(
            ["docker", "compose", "exec", "-T", "--index", str(index), service, "sh", "-c", "kill -9 -1"],
            cwd=ROOT, env=self._environment, capture_output=True,
        )  # fmt: skip

    def containers(self, service: str) -> list[Answer]:
        """What the engine knows of the service's containers."""
        found = self.compose("ps", "--quiet", service).split()
        told = subprocess.run(["docker", "inspect", *found], capture_output=True, text=True, check=True).stdout
        answer: list[Answer] = json.loads(told)
        return answer

    def destroy(self) -> None:
        """Containers, networks and volumes."""
        self.compose("down", "--volumes", "--timeout", "5")

    def get(self, path: str, **params: object) -> Answer:
        """An answer of the API, asked again for a minute where the damage is in the way."""
        return patiently(lambda: httpx.get(f"{self.api}{path}", params=params, timeout=20))  # type: ignore[arg-type]

    def submit(self, body: Answer) -> Answer:
        """The stored sweep."""
        response = httpx.post(f"{self.api}/v1/sweeps", json=body, timeout=60)
        assert response.status_code == 201, response.text
        answer: Answer = response.json()
        return answer

    def await_sweep(self, sweep_id: str, until: Callable[[Answer], bool], *, within_s: float = 240) -> Answer:
        """The sweep, once it is as expected."""
        deadline = time.monotonic() + within_s
        while not until(found := self.get(f"/v1/sweeps/{sweep_id}")):
            assert time.monotonic() < deadline, found
            time.sleep(0.3)
        return found

    def runs(self, sweep: Answer) -> list[Answer]:
        """The runs of the sweep's trials, by MLflow's own REST API."""
        path = f"{self.mlflow}/api/2.0/mlflow"
        found = patiently(
            lambda: httpx.get(
                f"{path}/experiments/get-by-name",
                params={"experiment_name": f"{sweep['name']} {sweep['id']}"},
                timeout=20,
            )
        )
        body = {"experiment_ids": [found["experiment"]["experiment_id"]], "max_results": 1000}
        runs: list[Answer] = patiently(lambda: httpx.post(f"{path}/runs/search", json=body, timeout=20))["runs"]
        return [run for run in runs if tag(run, "evenhand.trial") != "summary"]


def tag(run: Answer, key: str) -> str | None:
    """A tag of a run."""
    return next((str(one["value"]) for one in run["data"]["tags"] if one["key"] == key), None)


def patiently(ask: Callable[[], httpx.Response], *, within_s: float = 60) -> Answer:
    """The first answer that is well."""
    deadline = time.monotonic() + within_s
    while True:
        try:
            response = ask()
            if response.is_success:
                answer: Answer = response.json()
                return answer
            complaint = response.text
        except httpx.TransportError as error:
            complaint = repr(error)
        assert time.monotonic() < deadline, complaint
        time.sleep(0.3)
