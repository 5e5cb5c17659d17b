"""`evenhand demo`: a real sweep on real data, from HTTP to MLflow, with its answer in the terminal."""

import contextlib
import json
import time
from collections.abc import Callable
from pathlib import Path

from rich.console import Console

from .client import Answer, Client
from .processes import Stopped
from .up import Ports, Services
from .watch import watch

DEMO_SWEEP = {
    "name": "demo",
    "dataset": "digits",
    "imbalance": {"profile": "exponential", "ratios": [1, 10, 50]},
    "alpha": {"low": 0.001, "high": 1.0, "log": True},
    "baselines": ["cross_entropy", "focal", "balanced_softmax"],
    "trials": 8,
    "replicates": 3,
}


def demo(data_dir: Path, console: Console, *, show: Callable[[Answer], None], workers: int | None, keep: bool) -> bool:
    """True where every trial of the demo's sweep ended well; with `keep` it serves on until it is stopped.

    `console` tells what happens, `show` is given the results.

    Raises:
        UpError, ApiError: as `up` and the client do.
        Stopped: by Ctrl-C or SIGTERM before there are results.
    """
    began = time.monotonic()
    services = Services(
        data_dir,
        Ports.free(),
        workers=workers,
        say=lambda name, line: console.print(f"{line}") if name == "workers" else None,
    )
    console.print(f"Starting API, MLflow and workers on {services.data_dir} …")
    with services.running() as group, Client(services.ports.api_url) as client:
        console.print(f"Ready after {time.monotonic() - began:.0f} s. API {services.ports.api_url}/docs")
        sweep = client.submit(json.dumps(DEMO_SWEEP).encode())
        console.print(f"Submitted sweep {sweep['id']} with {sweep['progress']['total']} trials of 3 replicates each.")
        sweep = watch(client, sweep["id"], console, meanwhile=lambda: services.watch(group, once=True))
        show(client.results(sweep["id"]))
        console.print(f"\nDone in {time.monotonic() - began:.0f} s. Where to look:")
        console.print(f"  MLflow   {sweep['links']['mlflow']}", soft_wrap=True)
        console.print(f"  results  {services.ports.api_url}{sweep['links']['results']}", soft_wrap=True)
        console.print(f"  again    evenhand up --data {services.data_dir}", soft_wrap=True)
        if keep:
            console.print("Serving until Ctrl-C.")
            with contextlib.suppress(Stopped):
                services.watch(group)
    progress = sweep["progress"]
    return bool(progress["complete"] == progress["total"])
