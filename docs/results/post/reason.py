"""Draws why the adaptive loss does what it does: importance, mean weight and effective learning rate over time.

    python docs/results/post/reason.py --api http://127.0.0.1:8000 --mlflow http://127.0.0.1:5000 ADAMW SGD

ADAMW and SGD are the ids of the two sweeps of this folder; reason.png is written beside this file.
"""

import argparse
from pathlib import Path
from typing import Any

import httpx
import numpy as np
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.figure import Figure

RATIO = 100.0
SHOWN = (0.01, 0.1)
"""Alphas whose importance is drawn by class."""
COLOURS = ("#999999", "#0072B2", "#E69F00", "#009E73")
Answer = dict[str, Any]


def main() -> None:
    """Draws the figure."""
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("sweeps", nargs=2, metavar="SWEEP", help="ids of the sweeps with AdamW and with SGD")
    arguments.add_argument("--api", default="http://127.0.0.1:8000")
    arguments.add_argument("--mlflow", default="http://127.0.0.1:5000")
    given = arguments.parse_args()
    figure = Figure(figsize=(19, 7.4), layout="constrained")
    grid = figure.subplots(2, 4)
    with httpx.Client(base_url=given.api, timeout=60) as api, httpx.Client(base_url=given.mlflow, timeout=60) as mlflow:
        for axes, sweep_id in zip(grid, given.sweeps, strict=True):
            draw(axes, sweep_id, api=api, mlflow=mlflow)
    figure.suptitle(f"shapes, exponential ×{RATIO:g}: means over the replicates", fontsize=12)
    figure.savefig(Path(__file__).with_name("reason.png"), dpi=100)


def draw(axes: np.ndarray, sweep_id: str, *, api: httpx.Client, mlflow: httpx.Client) -> None:
    """One row: importance by class at two alphas, then mean weight and effective learning rate at every alpha."""
    sweep = get(api, f"/v1/sweeps/{sweep_id}")
    trials = get(api, f"/v1/sweeps/{sweep_id}/trials")["items"]
    swept = [t for t in trials if t["loss"] == "adaptive" and t["scenario"]["ratio"] == RATIO]
    swept.sort(key=lambda trial: trial["params"]["alpha"])
    for panel, alpha in zip(axes, SHOWN, strict=False):
        trial = next(t for t in swept if t["params"]["alpha"] == alpha)
        importance(
            panel, get(api, trial["links"]["importance"]), title=f"{sweep['name']}: importance at alpha {alpha:g}"
        )
    for panel, metric, label in (
        (axes[2], "train/mean_weight", "mean weight of a pixel"),
        (axes[3], "train/effective_lr", "learning rate × mean weight"),
    ):
        for index, trial in enumerate(swept):
            values = history(mlflow, trial["links"]["mlflow"].rsplit("/", 1)[1], metric)
            colour = colormaps["cividis"](index / (len(swept) - 1))
            panel.plot(range(1, len(values) + 1), values, color=colour, label=f"{trial['params']['alpha']:g}")
        panel.set(xlabel="epoch", ylabel=label, yscale="log", title=f"{sweep['name']}: {label}")
        panel.legend(title="alpha", fontsize=8)
        panel.grid(alpha=0.3)


def importance(panel: Axes, found: Answer, *, title: str) -> None:
    """Importance by class and step, the mean over the replicates."""
    mean_SC = np.mean([replicate["importance"] for replicate in found["replicates"]], axis=0)
    for label, name in enumerate(found["classes"]):
        panel.plot(mean_SC[:, label], color=COLOURS[label], label=name, lw=1.2)
    panel.set(xlabel="step", ylabel="importance", ylim=(0, 1.05), title=title)
    panel.legend(fontsize=8)
    panel.grid(alpha=0.3)


def history(mlflow: httpx.Client, run_id: str, metric: str) -> list[float]:
    """A metric's values by epoch, from MLflow's REST API."""
    found = get(mlflow, "/api/2.0/mlflow/metrics/get-history", run_id=run_id, metric_key=metric)
    return [point["value"] for point in sorted(found["metrics"], key=lambda point: point["step"])]


def get(client: httpx.Client, path: str, **params: str) -> Answer:
    """A JSON answer."""
    answer = client.get(path, params=params)
    answer.raise_for_status()
    found: Answer = answer.json()
    return found


if __name__ == "__main__":
    main()
