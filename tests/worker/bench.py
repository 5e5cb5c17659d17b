"""A worker at its bench: a data folder of its own, the real MLflow, and sweeps worked off in a thread."""

import io
import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TypeVar

import httpx
import pandas as pd
import torch

from sweep.parts import Parts
from sweep.problems import parse_sweep
from sweep.resolve import resolve
from sweep.settings import Settings
from sweep.slots import Attempt, Slot
from sweep.store import DatasetMark, Sweep
from worker.run import work

_T = TypeVar("_T")
BODY = {
    "dataset": "digits",
    "imbalance": {"profile": "exponential", "ratios": [10]},
    "training": {"epochs": 2},
    "replicates": 2,
}


def wait_for(look: Callable[[], _T], *, what: str, within_s: float = 180) -> _T:
    """What `look` answers once that is true; an AssertionError that says `what` was waited for otherwise."""
    deadline = time.monotonic() + within_s
    while time.monotonic() < deadline:
        if found := look():
            return found
        time.sleep(0.02)
    raise AssertionError(f"waited {within_s:.0f} s in vain for {what}")


@dataclass(frozen=True, slots=True)
class Bench:
    """One data folder, looked at from outside through `parts`; its workers have parts of their own."""

    settings: Settings
    parts: Parts

    @classmethod
    def at(cls, folder: Path, *, mlflow_url: str) -> "Bench":
        """A bench on an empty folder."""
        settings = Settings(
            data_dir=folder, database_url="", MLFLOW_TRACKING_URI=mlflow_url, heartbeat_interval_s=1, threads=1
        )
        return cls(settings, Parts.connect(settings, holder="bench", stop=threading.Event()))

    def submit(self, **fields: object) -> Sweep:
        """A small sweep with the given fields changed, stored as the API does; its slots are not laid yet."""
        spec = parse_sweep(json.dumps({**BODY, **fields}))
        info = self.parts.datasets.info(spec.dataset.name, options=spec.dataset.params)
        return self.parts.store.add(resolve(spec, info), DatasetMark(classes=info.classes, content=info.content))

    @contextmanager
    def worker(self, name: str, *, width: int | Literal["auto"] = 1) -> Iterator[threading.Event]:
        """A worker in a thread; the event asks it to leave, as the end of the block does."""
        stop = threading.Event()
        settings = self.settings.model_copy(update={"width": width, "drain_timeout_s": 120.0})
        parts = Parts.connect(settings, holder=name, stop=stop)

        def run() -> None:
            torch.set_num_threads(settings.threads)
            work(parts, settings, name=name, stop=stop)

        thread = threading.Thread(target=run, name=name, daemon=True)
        thread.start()
        try:
            yield stop
        finally:
            stop.set()
            thread.join(120)
            assert not thread.is_alive(), f"worker {name} does not leave"

    def work_off(self, *sweeps: Sweep, width: int = 1) -> None:
        """Lets one worker bring the sweeps to their end."""
        with self.worker("ann", width=width):
            for sweep in sweeps:
                self.ended(sweep)

    def ended(self, sweep: Sweep) -> Sweep:
        """The sweep once it has ended."""

        def look() -> Sweep | None:
            found = self.parts.store.get(sweep.id)
            return found if found.ended_at else None

        return wait_for(look, what=f"the end of {sweep.name}: {[s.state for s in self.slots(sweep)]}")  # type: ignore[return-value]

    def running(self, sweep: Sweep) -> str:
        """The MLflow run of the sweep's first attempt once that is in training."""

        def look() -> str | None:
            attempt = self.slots(sweep)[0].last
            return attempt.run_id if attempt else None

        return str(wait_for(look, what="a trial in training"))

    def slots(self, sweep: Sweep) -> list[Slot]:
        """The sweep's slots as they are now."""
        return self.parts.studies.slots(self.parts.store.get(sweep.id))

    def last_attempts(self, sweep: Sweep) -> list[Attempt]:
        """The last attempt of every slot, of which each has one."""
        found = [slot.last for slot in self.slots(sweep)]
        assert all(found)
        return [attempt for attempt in found if attempt]


@dataclass(frozen=True, slots=True)
class Runs:
    """An experiment as MLflow's own REST API shows it."""

    mlflow: httpx.Client
    experiment_id: str

    def all(self) -> list[dict[str, Any]]:
        """Every run, the earliest first."""
        body = {"experiment_ids": [self.experiment_id], "max_results": 1000, "order_by": ["attributes.start_time"]}
        answer = self.mlflow.post("runs/search", json=body)
        answer.raise_for_status()
        return list(answer.json().get("runs", []))

    def of(self, number: int | str) -> list[dict[str, Any]]:
        """The runs of one trial, or "summary"."""
        return [run for run in self.all() if tags(run)["evenhand.trial"] == str(number)]

    def one(self, number: int | str) -> dict[str, Any]:
        """The only run of one trial, or "summary"."""
        (run,) = self.of(number)
        return run

    def history(self, run: dict[str, Any], key: str) -> list[tuple[int, float]]:
        """Step and value of every point of a metric, in order."""
        answer = self.mlflow.get("metrics/get-history", params={"run_id": run["info"]["run_id"], "metric_key": key})
        answer.raise_for_status()
        return [(int(point.get("step", 0)), float(point["value"])) for point in answer.json().get("metrics", [])]

    def files(self, run: dict[str, Any]) -> set[str]:
        """Names of the run's artifacts."""
        answer = self.mlflow.get("artifacts/list", params={"run_id": run["info"]["run_id"]})
        answer.raise_for_status()
        return {file["path"] for file in answer.json().get("files", [])}

    def file(self, run: dict[str, Any], name: str) -> bytes:
        """One artifact, from the address that MLflow's page takes it from."""
        url = self.mlflow.base_url.copy_with(path="/get-artifact")
        answer = self.mlflow.get(url, params={"path": name, "run_uuid": run["info"]["run_id"]})
        answer.raise_for_status()
        return answer.content

    def trajectory(self, run: dict[str, Any]) -> pd.DataFrame:
        """The run's trajectory."""
        return pd.read_parquet(io.BytesIO(self.file(run, "trajectory.parquet")))


def tags(run: dict[str, Any]) -> dict[str, str]:
    """A run's tags by name."""
    return {tag["key"]: tag["value"] for tag in run["data"]["tags"]}


def params(run: dict[str, Any]) -> dict[str, str]:
    """A run's parameters by name."""
    return {param["key"]: param["value"] for param in run["data"].get("params", [])}


def metrics(run: dict[str, Any]) -> dict[str, float]:
    """The last value of each of a run's metrics by name."""
    return {metric["key"]: float(metric["value"]) for metric in run["data"].get("metrics", [])}
