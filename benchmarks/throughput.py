"""Trials an hour of training alone, against what people use today, side after side in one run.

Six minutes on two cores: python -m benchmarks.throughput [--data DATA] [--quick]

Sides: ours in two processes of a thread each; (a) Optuna and PyTorch as their tutorials have it; (a+) the same, as
quick as its settings make it; (b) as (a) with n_jobs=2; (c) Ray Tune with OptunaSearch, tuned, two at a time (where ray
is installed: `pip install -r benchmarks/requirements.txt`). Every side is a process of its own, which is timed without
its imports and without reading the data. Fashion-MNIST must be in the data folder (`make fashion-mnist`), else it is
left out.

Exits 1 where the sides did not do equal work in one of the rounds: as many samples and steps a trial, scores alike
within noise.
"""

import argparse
import importlib.util
import json
import os
import statistics
import subprocess
import sys
import tempfile
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from .equal import RULE, differences
from .export import export
from .measure import Ratio, interleaved, keep
from .peers.command import Result
from .works import WORKS, Prepared, prepared_works

OURS = "ours"
RAY = "(c) Ray Tune, tuned, 2 at a time"
_PROCESSES = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """How much of a work is trained in one timing, and how many times over."""

    epochs: int
    trials: int
    peer_trials: int
    """A peer's trials take the same time each, so it trains fewer of them."""
    rounds: int


PLANS = {
    "toy2d": Plan(epochs=10, trials=256, peer_trials=12, rounds=2),
    "digits": Plan(epochs=30, trials=128, peer_trials=12, rounds=2),
    "fashion_mnist": Plan(epochs=1, trials=4, peer_trials=4, rounds=2),
    "shapes": Plan(epochs=2, trials=4, peer_trials=4, rounds=2),
}
QUICK = {"digits": Plan(epochs=10, trials=20, peer_trials=4, rounds=1)}

_NOTES = (
    "Each cell: how many times longer a peer takes for a trial, the median over rounds, the least and the greatest."
    " Aim against (a): toy2d 30×, digits 15×, Fashion-MNIST 5×, shapes 3×; and ahead of (b) and (c) everywhere.",
    "Ours: two processes of one thread each, stacks as wide as measured to pay (the measurement, kept on disk, is not"
    " timed), and at most a quarter of the trials in training at once. (a) and (a+): one process, torch's own"
    " number of threads. (b): one thread a job. (c): two processes of one thread each, from the first trial's start"
    " to the last one's end; it trains the tuned form, as the plain one is slower.",
    RULE,
)


def sides(folder: Path, plan: Plan, *, data_dir: Path) -> dict[str, list[str]]:
    """The command of each side, less where it writes to."""
    ours = ["benchmarks.ours", str(folder), "--trials", str(plan.trials), "--data", str(data_dir)]
    optuna = ["benchmarks.peers.optuna_script", str(folder), "--trials", str(plan.peer_trials)]
    commands = {
        OURS: [*ours, "--processes", str(_PROCESSES)],
        "(a) Optuna": optuna,
        "(a+) Optuna, tuned": [*optuna, "--tuned"],
        "(b) Optuna, n_jobs=2": [*optuna, "--jobs", "2"],
    }
    if importlib.util.find_spec("ray"):
        ray = ["benchmarks.peers.ray_tune", str(folder), "--trials", str(plan.peer_trials)]
        commands[RAY] = [*ray, "--jobs", "2", "--tuned"]
    return commands


def unequal(outcomes: Mapping[str, Sequence[Result]]) -> list[str]:
    """Why the peers did not do the work that ours did in a round; empty where they did."""
    peers = {side: trials for side, trials in outcomes.items() if side != OURS}
    return [f"{side}: {reason}." for side, of in peers.items() for reason in differences(outcomes[OURS], of)]


def compare(prepared: Prepared, plan: Plan, *, data_dir: Path) -> tuple[dict[str, object], list[str]]:
    """The work's row, and why it does not count where it does not."""
    outcomes: defaultdict[str, list[list[Result]]] = defaultdict(list)
    work = prepared.work
    with tempfile.TemporaryDirectory() as folder:
        export(prepared, Path(folder))

        def timed(side: str, command: list[str]) -> float:
            out = Path(folder) / "result.json"
            full = [sys.executable, "-m", *command, "--out", str(out)]
            done = subprocess.run(full, env=_environment(), capture_output=True, text=True)
            if done.returncode:
                sys.exit(f"{side} failed on {work.name}:\n{done.stderr}")
            result = json.loads(out.read_text())
            outcomes[side].append(result["trials"])
            seconds: float = result["seconds"] / len(result["trials"])
            print(f"  {work.name}, {side}: {seconds:.3g} s a trial", flush=True)
            return seconds

        commands = sides(Path(folder), plan, data_dir=data_dir)
        seconds = interleaved(
            {side: partial(timed, side, command) for side, command in commands.items()}, rounds=plan.rounds
        )
    rounds = [{side: of[at] for side, of in outcomes.items()} for at in range(plan.rounds)]
    reasons = [f"{work.name}, round {at}: {reason}" for at, of in enumerate(rounds, 1) for reason in unequal(of)]
    return _row(prepared, plan, seconds), reasons


def _row(prepared: Prepared, plan: Plan, seconds: Mapping[str, Sequence[float]]) -> dict[str, object]:
    peers = {side: Ratio.of(of, seconds[OURS]) for side, of in seconds.items() if side != OURS}
    return {
        "work": prepared.work.name,
        "model": prepared.resolved.spec.model.name,
        "epochs": plan.epochs,
        "trials, ours": plan.trials,
        "trials, a peer": plan.peer_trials,
        "ours, trials/h": f"{3600 / statistics.median(seconds[OURS]):,.0f}",
        "(a), trials/h": f"{3600 / statistics.median(seconds['(a) Optuna']):,.0f}",
        **peers,
        RAY: peers.get(RAY, "not installed"),
    }


def _busy() -> list[str]:
    """A warning, where others use the machine: they slow several threads more than one."""
    load = os.getloadavg()[0]
    if load < (os.cpu_count() or 1) / 2:
        return []
    return [f"The machine was busy before the run (load average {load:.2f}), so these numbers mean little."]


def _environment() -> dict[str, str]:
    # Each side chooses its threads by itself.
    return {name: value for name, value in os.environ.items() if name not in ("OMP_NUM_THREADS", "MKL_NUM_THREADS")}


def main() -> None:
    """Times every work that there is data for."""
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--data", type=Path, default=Path("evenhand-data"), help="the data folder, as the service's")
    arguments.add_argument("--quick", action="store_true", help="one small round on digits, to see that all is there")
    args = arguments.parse_args()
    print("\n".join(busy := _busy()))
    plans = QUICK if args.quick else PLANS
    chosen = (replace(WORKS[name], epochs=plan.epochs, trials=plan.trials) for name, plan in plans.items())
    works, left_out = prepared_works(chosen, args.data)
    rows, reasons, notes = [], [], [*_NOTES, *busy, *left_out]
    for prepared in works:
        plan = plans[prepared.work.name]
        print(f"{prepared.work.name}: {plan.rounds} round(s)", flush=True)
        row, found = compare(prepared, plan, data_dir=args.data)
        rows.append(row)
        reasons += found
    if reasons:
        sys.exit("The sides did not do equal work, so nothing is kept.\n" + "\n".join(reasons))
    print(keep("throughput", rows, notes=[f"- {note}" for note in notes], quick=args.quick))


if __name__ == "__main__":
    main()
