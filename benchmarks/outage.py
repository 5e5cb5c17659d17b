"""The pace of training while MLflow is away for a minute, or two seconds late with every answer, against fair weather.

Fifteen minutes on two cores: python -m benchmarks.outage [--data DIR] [--quick]
"""

import argparse
import itertools
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from random import Random

import torch

from .equal import Unequal
from .measure import Ratio, interleaved, keep
from .service import Served, by_key, served, warm
from .weather import Sky, Weather
from .works import WORKS, Prepared, prepared_works

ROUNDS, EPOCHS, TRIALS, AWAY_S = 3, 5, 10, 60.0
SKIES: tuple[Sky, ...] = ("fair", "away", "slow")
KEY = "val/nll"
"""A metric of every epoch, whose timestamps say when the epochs ended."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """One sweep."""

    seconds: float
    """Of training an epoch, from the first one's end to the last one's."""
    late_s: float
    """From the last epoch's end until the sweep is finished."""
    values: dict[str, str]
    """What MLflow has of each trial at its end, by its parameters."""


@contextmanager
def worker(on: Served, weather: Weather) -> Iterator[None]:
    """One worker that reaches MLflow through the weather."""
    environment = os.environ | {
        "EVENHAND_DATA_DIR": str(on.data_dir),
        "MLFLOW_TRACKING_URI": weather.url,
        "OMP_NUM_THREADS": "1",
    }
    process = subprocess.Popen([sys.executable, "-m", "worker"], env=environment, stderr=subprocess.DEVNULL)
    try:
        yield
    finally:
        process.terminate()
        process.wait(60)


def run(work: Prepared, on: Served, weather: Weather, sky: Sky, *, away_s: float) -> Seen:
    """One sweep under one sky; raises Unequal where an epoch of it is missing in MLflow, or there twice."""
    began = time.time()
    timer = threading.Timer(0, lambda: None)
    if sky == "away":
        timer = threading.Timer(3, _leave, args=(weather, away_s))
    else:
        weather.sky = sky
    timer.start()
    sweep = on.sweep(work)
    ended = time.time()
    timer.join()
    weather.sky = "fair"
    runs = on.mlflow.finished(f"{sweep['name']} {sweep['id']}", since_s=began)
    histories = [on.mlflow.history(run, KEY) for run in runs]
    steps = list(range(1, work.work.epochs + 1))
    if len(runs) != work.work.trials or any([int(point["step"]) for point in points] != steps for points in histories):
        raise Unequal(f"Under a sky that is {sky} MLflow has not every epoch of every trial, once and in order.")
    moments = sorted(point["timestamp"] / 1000 for point in itertools.chain.from_iterable(histories))
    alphas = [by_key(run, "params")["alpha"] for run in runs]
    return Seen(
        seconds=(moments[-1] - moments[0]) / (len(moments) - 1),
        late_s=ended - moments[-1],
        values=dict(zip(alphas, (points[-1]["value"] for points in histories), strict=True)),
    )


def _leave(weather: Weather, away_s: float) -> None:
    weather.sky = "away"
    time.sleep(away_s)
    weather.sky = "fair"


def compare(work: Prepared, on: Served, *, rounds: int, away_s: float) -> list[dict[str, object]]:
    """A row for each sky; raises Unequal where they come to different numbers."""
    weather = Weather(on.mlflow_url, Random(0))
    seen: dict[Sky, list[Seen]] = {sky: [] for sky in SKIES}

    def timed(sky: Sky) -> float:
        seen[sky] += [run(work, on, weather, sky, away_s=away_s)]
        print(f"{sky}: {seen[sky][-1].seconds:.4f} s an epoch, {seen[sky][-1].late_s:.1f} s late", flush=True)
        return seen[sky][-1].seconds

    with worker(on, weather):
        warm(work, on)
        seconds = interleaved({sky: lambda sky=sky: timed(sky) for sky in SKIES}, rounds=rounds)  # type: ignore[misc]
    weather.close()
    if any(one.values != seen["fair"][0].values for one in itertools.chain.from_iterable(seen.values())):
        raise Unequal("The same trials came to other numbers.")
    return [
        {
            "MLflow": {"fair": "fair", "away": f"away for {away_s:.0f} s", "slow": "2 s late with each answer"}[sky],
            "s an epoch": float(sum(seconds[sky]) / rounds),
            "time an epoch takes / fair": Ratio.of(seconds[sky], seconds["fair"]),
            "aim": "" if sky == "fair" else "≤ 1.03×",
            "s from the last epoch to the sweep's end": float(max(one.late_s for one in seen[sky])),
        }
        for sky in SKIES
    ]


def main() -> None:
    """Measures and keeps the table; exits 1 where a record has a gap or numbers differ."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=Path("evenhand-data"), help="folder with the data sets")
    parser.add_argument("--quick", action="store_true", help="a few trials of digits: no numbers to quote")
    args = parser.parse_args()
    torch.set_num_threads(1)
    chosen = replace(WORKS["digits"], trials=4) if args.quick else replace(
        WORKS["fashion_mnist"], trials=TRIALS, epochs=EPOCHS
    )  # fmt: skip
    ((work,), _) = prepared_works([chosen], args.data, sampler="random")
    try:
        with served(args.data, workers=0) as on:
            rows = compare(work, on, rounds=1 if args.quick else ROUNDS, away_s=5 if args.quick else AWAY_S)
    except Unequal as unequal:
        print(unequal, file=sys.stderr)
        sys.exit(1)
    notes = [
        f"{chosen.trials} trials of {chosen.epochs} epochs on {chosen.name} by one worker, random search; an epoch by"
        " the timestamps in MLflow, from the first to the last; the last column is the longest. Checked: every epoch of"
        " every trial is in MLflow once, and the numbers are the same.",
    ]
    print(keep("outage", rows, notes=notes, quick=args.quick))


if __name__ == "__main__":
    main()
