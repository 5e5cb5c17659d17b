"""A whole sweep through API, queue, workers and MLflow, against a script that logs every epoch to the same MLflow.

Five minutes on two cores: python -m benchmarks.service [--data DIR] [--only WORK] [--quick]
"""

import argparse
import contextlib
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import httpx

from service.client import TERMINAL, Client
from service.up import Ports, Services
from sweep.split import index_hash

from .equal import RULE, Unequal, differences
from .export import export
from .measure import Ratio, interleaved, keep
from .peers.command import Result
from .works import WORKS, Prepared, prepared_works

ROUNDS = 2
TRIALS = {"toy2d": 24}
"""Fewer than the work has, where the script would take minutes."""
THREADS = {"toy2d": 1, "digits": 1}
"""Torch's in the script. Two disturb each other and MLflow in models this small; larger ones get torch's default."""
AIMS, AIM = {"shapes": 3.0}, 5.0
"""How many times longer the script should take."""
POLL_S = 0.2
WARM_TRIALS = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class Trained:
    """What one side did in one round."""

    seconds: float
    trials: Sequence[Result]
    """In the order of their numbers."""
    finished: int
    """Runs of trials in MLflow that are FINISHED."""
    points: int
    """Values of metrics that MLflow keeps of one of the runs."""


@dataclass(frozen=True, slots=True)
class Mlflow:
    """A tracking server, through its own REST API."""

    _http: httpx.Client

    def finished(self, experiment: str, *, since_s: float) -> list[dict[str, Any]]:
        """The experiment's FINISHED runs that began after that moment; a sweep's summary is not among them."""
        found = self._get("experiments/get-by-name", experiment_name=experiment)["experiment"]["experiment_id"]
        wish = f"attributes.status = 'FINISHED' and attributes.start_time >= {int(1000 * since_s)}"
        body = {"experiment_ids": [found], "filter": wish, "max_results": 1000}
        answer = self._http.post("runs/search", json=body).raise_for_status().json()
        return [run for run in answer.get("runs", []) if by_key(run, "tags").get("evenhand.trial") != "summary"]

    def points(self, run: Mapping[str, Any]) -> int:
        """How many values the run keeps in all its metrics."""
        return sum(len(self.history(run, key)) for key in by_key(run, "metrics"))

    def history(self, run: Mapping[str, Any], key: str) -> list[dict[str, Any]]:
        """Every value of one of the run's metrics, with its step and timestamp."""
        found = self._get("metrics/get-history", run_id=run["info"]["run_id"], metric_key=key)
        points: list[dict[str, Any]] = found["metrics"]
        return points

    def _get(self, path: str, **params: str) -> dict[str, Any]:
        answer: dict[str, Any] = self._http.get(path, params=params).raise_for_status().json()
        return answer


@dataclass(frozen=True, slots=True, kw_only=True)
class Served:
    """Services that run and are ready."""

    client: Client
    mlflow: Mlflow
    mlflow_url: str
    data_dir: Path

    def sweep(self, prepared: Prepared) -> dict[str, Any]:
        """Submits the work and waits for its end: the sweep with `seconds`, from the request to "finished"."""
        body = prepared.resolved.spec.model_dump_json().encode()
        began = time.perf_counter()
        sweep = self.client.submit(body)
        while sweep["state"] not in TERMINAL:
            time.sleep(POLL_S)
            sweep = self.client.sweep(sweep["id"])
        seconds = time.perf_counter() - began
        if sweep["progress"]["complete"] != prepared.work.trials:
            raise Unequal(f"Expected {prepared.work.trials} complete trials, got {sweep['progress']}.")
        return sweep | {"seconds": seconds}


@contextlib.contextmanager
def served(data_dir: Path, *, workers: int) -> Iterator[Served]:
    """Services on a folder of their own that goes at the end; `data_dir` lends them its data sets and paces."""
    with tempfile.TemporaryDirectory(prefix="evenhand-bench-") as folder:
        for name in ("datasets", "prepared", "paces"):
            (data_dir / name).mkdir(parents=True, exist_ok=True)
            Path(folder, name).symlink_to((data_dir / name).resolve())
        services = Services(Path(folder), Ports.free(), workers=workers, say=lambda _name, _line: None)
        url = services.ports.mlflow_url
        api = httpx.Client(base_url=f"{url}/api/2.0/mlflow/", timeout=60)
        with services.running(), Client(services.ports.api_url) as client, api:
            yield Served(client=client, mlflow=Mlflow(api), mlflow_url=url, data_dir=services.data_dir)


def warm(work: Prepared, on: Served) -> None:
    """Lets every worker import, read and measure what the work needs."""
    short = replace(work.work, trials=WARM_TRIALS, epochs=1)
    on.sweep(Prepared(short, on.data_dir))


def through_service(work: Prepared, on: Served) -> Trained:
    """One sweep of the work."""
    began = time.time()
    sweep = on.sweep(work)
    member = work.members(0.1)[0]
    rows = str([index_hash(member.train_index)])
    runs = on.mlflow.finished(f"{sweep['name']} {sweep['id']}", since_s=began)
    for params in (by_key(run, "params") for run in runs):
        found = params["train_index"], int(params["epochs"]), int(params["batch_size"]), int(params["replicates"])
        if found != (rows, member.trial.epochs, member.trial.batch_size, 1):
            raise Unequal(f"A run of {work.work.name} says that it trained on rows, epochs, batch, replicates {found}.")
    losses = {float(by_key(run, "params")["alpha"]): float(by_key(run, "metrics")["train/loss"]) for run in runs}
    # A batch of one is left out.
    batches, left = divmod(len(member.train_index), member.trial.batch_size)
    samples, steps = len(member.train_index) - (left == 1), batches + (left > 1)
    trials = [
        Result(
            alpha=(alpha := trial["params"]["alpha"]),
            samples=samples * member.trial.epochs,
            steps=steps * member.trial.epochs,
            final=trial["replicates"][0]["validation"],
            train_loss=losses[alpha],
        )
        for trial in on.client.trials(sweep["id"])
    ]
    return Trained(seconds=sweep["seconds"], trials=trials, finished=len(runs), points=on.mlflow.points(runs[0]))


def through_script(work: Prepared, on: Served, *, folder: Path) -> Trained:
    """The same trials by the script on the work exported to `folder`; its imports are not in its seconds."""
    out, began = folder / "result.json", time.time()
    command = [sys.executable, "-m", "benchmarks.peers.optuna_script", str(folder), "--mlflow", on.mlflow_url]
    command += ["--trials", str(work.work.trials), "--out", str(out)]
    command += ["--threads", str(THREADS[work.work.name])] if work.work.name in THREADS else []
    like_the_service = os.environ | {"MLFLOW_DISABLE_TELEMETRY": "true"}
    ended = subprocess.run(command, env=like_the_service, capture_output=True, text=True, check=False)
    if ended.returncode:
        raise RuntimeError(f"The script failed:\n{ended.stderr}")
    result = json.loads(out.read_text())
    runs = on.mlflow.finished(work.work.dataset, since_s=began)
    return Trained(
        seconds=result["seconds"], trials=result["trials"], finished=len(runs), points=on.mlflow.points(runs[0])
    )


def check_equal(ours: Trained, peers: Trained) -> None:
    """Raises Unequal unless both sides trained as many trials, and the trials are equal work."""
    counts = {len(ours.trials), ours.finished, len(peers.trials), peers.finished}
    if len(counts) > 1:
        raise Unequal(f"Expected as many trials and FINISHED runs on both sides, got {sorted(counts)}.")
    if reasons := differences(ours.trials, peers.trials):
        raise Unequal(f"The script: {'; '.join(reasons)}.")


def compare(work: Prepared, on: Served, *, rounds: int) -> dict[str, object]:
    """A row of the table: both sides in turns, once the services know this kind of work."""
    name, rows = work.work.name, {"service": list[Trained](), "script": list[Trained]()}
    folder = on.data_dir / "exported" / name
    export(work, folder)
    warm(work, on)

    def timed(side: str) -> float:
        trained = through_service(work, on) if side == "service" else through_script(work, on, folder=folder)
        rows[side] += [trained]
        print(f"{name}: {side} {trained.seconds:.1f} s", flush=True)
        return trained.seconds

    seconds = interleaved({side: lambda side=side: timed(side) for side in rows}, rounds=rounds)  # type: ignore[misc]
    for ours, peers in zip(rows["service"], rows["script"], strict=True):
        check_equal(ours, peers)
    return {
        "work": name,
        "trials": work.work.trials,
        "epochs": work.work.epochs,
        "rounds": rounds,
        "service s": statistics.median(seconds["service"]),
        "script s": statistics.median(seconds["script"]),
        "script / service": Ratio.of(seconds["script"], seconds["service"]),
        "aim": f"≥ {AIMS.get(name, AIM):g}×",
        "points a run, service": rows["service"][0].points,
        "points a run, script": rows["script"][0].points,
    }


def by_key(run: Mapping[str, Any], part: str) -> dict[str, Any]:
    """A run's params, metrics or tags."""
    return {each["key"]: each["value"] for each in run["data"].get(part, [])}


def main() -> None:
    """Measures and keeps the table; exits 1 where the sides did not do the same work."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=Path("evenhand-data"), help="folder with the data sets")
    parser.add_argument("--workers", type=int, default=2, help="of the service; as many as there are cores is best")
    parser.add_argument("--only", choices=WORKS, action="append", help="this work; may be given again")
    parser.add_argument("--quick", action="store_true", help="4 trials of digits, to see it run: no numbers to quote")
    args = parser.parse_args()
    names = args.only or (["digits"] if args.quick else list(WORKS))
    trials = {name: 4 if args.quick else TRIALS.get(name, WORKS[name].trials) for name in names}
    works, left_out = prepared_works([replace(WORKS[name], trials=trials[name]) for name in names], args.data)
    try:
        with served(args.data, workers=args.workers) as on:
            rows = [compare(work, on, rounds=1 if args.quick else ROUNDS) for work in works]
    except Unequal as unequal:
        print(unequal, file=sys.stderr)
        sys.exit(1)
    notes = [
        f"Service: API, MLflow server and {args.workers} workers, from the request to the state finished, pictures,"
        " test scores and summary. Script: `benchmarks.peers.optuna_script --mlflow`, its study alone; one torch thread"
        f" for {' and '.join(THREADS)}, torch's default for the others. Checked: the same rows, epochs and batches; as"
        " many FINISHED runs.",
        RULE,
        *left_out,
    ]
    print(keep("service", rows, notes=notes, quick=args.quick))


if __name__ == "__main__":
    main()
