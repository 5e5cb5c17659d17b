"""What the service adds to the training of the same trials, and where that time goes.

Three minutes on two cores: python -m benchmarks.overhead [--data DIR] [--quick]
"""

import argparse
import statistics
import sys
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from functools import partial, wraps
from itertools import accumulate
from pathlib import Path
from typing import Any
from unittest.mock import patch

import psutil
import torch

from sweep.parts import Parts
from sweep.reconcile import Reconciler
from sweep.samplers import at_once
from sweep.settings import Settings
from sweep.studies import Studies
from worker import attempt
from worker.courier import Courier
from worker.journal import Journal
from worker.observation import Observation
from worker.pace import Paces
from worker.run import work as run_worker
from worker.training.trainer import Training

from .equal import FIRST, LOSS, LOSS_OF_FEW, SAME, Unequal, differences
from .measure import Ratio, interleaved, keep, spread
from .ours import Crew, stacks, train
from .peers.command import Result
from .service import Served, Trained, served, through_service, warm
from .works import WORKS, Prepared, prepared_works

TRIALS = {"toy2d": 32, "digits": 32}
ROUNDS = {"toy2d": 3, "digits": 3, "fashion_mnist": 2}
AIMS = {"toy2d": "≤ 0.25 s", "digits": "≤ 0.25 s", "fashion_mnist": "≤ 1.03×"}
PROCESSES = 2
"""Workers, or processes that only train."""
RECONCILE = "look after the sweep, write its summary"
PARTS: Sequence[tuple[object, str, str]] = (
    (Studies, "claim", "claim, suggest"),
    (attempt, "start_attempt", "begin"),
    (Courier, "recall", "begin"),
    (Courier, "begin", "begin"),
    (Training, "__init__", "train, validate, test"),
    (Training, "join", "train, validate, test"),
    (Training, "run_epoch", "train, validate, test"),
    (Training, "test", "train, validate, test"),
    (Observation, "add", "log"),
    (Observation, "finish", "log"),
    (Journal, "log", "log"),
    (Observation, "artifacts", "draw pictures"),
    (attempt, "pictures", "draw pictures"),
    (Courier, "settle", "wait for results to learn from"),
    (Courier, "finish", "hand over to the courier"),
    (Reconciler, "run", RECONCILE),
)
"""What a worker calls, and the part of a trial that it counts as."""
_THREAD = "timed-worker"


class Stopwatch:
    """Seconds of the timed worker by part; what a part calls counts as its own part, except when reconciling."""

    def __init__(self) -> None:
        """Nothing yet."""
        self.seconds: defaultdict[str, float] = defaultdict(float)
        self._open: list[tuple[str, list[float]]] = []

    def timed(self, call: Callable[..., Any], part: str) -> Callable[..., Any]:
        """The same call, its time taken where the worker makes it."""

        @wraps(call)
        def wrapped(*args: object, **kwargs: object) -> object:
            is_within = self._open and self._open[-1][0] == RECONCILE
            if is_within or threading.current_thread().name != _THREAD:
                return call(*args, **kwargs)
            began, others = time.perf_counter(), [0.0]
            self._open.append((part, others))
            try:
                return call(*args, **kwargs)
            finally:
                took = time.perf_counter() - began
                self._open.pop()
                self.seconds[part] += took - others[0]
                if self._open:
                    self._open[-1][1][0] += took

        return wrapped

    @contextmanager
    def running(self) -> Iterator[None]:
        """Takes the time of every part meanwhile."""
        with ExitStack() as patches:
            for owner, name, part in PARTS:
                patches.enter_context(patch.object(owner, name, self.timed(getattr(owner, name), part)))
            yield


def alone(crew: Crew, seen: Trained, *, width: int, most: int) -> float:
    """Seconds that the crew takes for the trials that the service trained; raises Unequal where they come out other."""
    began = time.perf_counter()
    alphas = [trial["alpha"] for trial in seen.trials]
    sizes = stacks(len(alphas), processes=len(crew), width=width, most=most)
    waiting = [alphas[end - size : end] for size, end in zip(sizes, accumulate(sizes), strict=True)]
    idle, found = list(range(len(crew))), list[Result]()
    while waiting or len(idle) < len(crew):
        while waiting and idle:
            crew.give(idle.pop(), partial(train, alphas=waiting.pop(), width=width, test=True))
        for at in crew.done():
            found += crew.take(at)
            idle.append(at)
    seconds = time.perf_counter() - began
    if reasons := differences(seen.trials, found, same_trials=True):
        raise Unequal(f"Training alone: {'; '.join(reasons)}.")
    return seconds


def added(work: Prepared, on: Served, *, data_dir: Path, rounds: int) -> dict[str, object]:
    """A row: the same trials through the service and by two processes that do nothing but train, in turns."""
    warm(work, on)
    width = Paces(data_dir / "paces").of(work.members(0.1), work.data).width
    most = at_once(work.resolved.spec)
    crew = Crew(work.work, data_dir, processes=PROCESSES)
    crew.warm(partial(train, alphas=[0.1], width=width, test=True))
    seen: list[Trained] = []

    def service() -> float:
        seen.append(through_service(work, on))
        return seen[-1].seconds

    seconds = interleaved(
        {"service": service, "alone": lambda: alone(crew, seen[-1], width=width, most=most)}, rounds=rounds
    )
    crew.leave()
    print(f"{work.work.name}: {seconds}", flush=True)
    trials = work.work.trials
    more = [(one - other) / trials for one, other in zip(seconds["service"], seconds["alone"], strict=True)]
    return {
        "work": work.work.name,
        "trials": trials,
        "rounds": rounds,
        "service s": statistics.median(seconds["service"]),
        "training alone s": statistics.median(seconds["alone"]),
        "added s a trial": spread(statistics.median(more), min(more), max(more)),
        "service / alone": Ratio.of(seconds["service"], seconds["alone"]),
        "aim": AIMS[work.work.name],
    }


@contextmanager
def timed_worker(on: Served) -> Iterator[None]:
    """One worker of the services in a thread of this process."""
    stop, name = threading.Event(), _THREAD
    settings = Settings(data_dir=on.data_dir, database_url="", MLFLOW_TRACKING_URI=on.mlflow_url)
    connected = Parts.connect(settings, holder=name, stop=stop)
    thread = threading.Thread(target=run_worker, args=(connected, settings), kwargs={"name": name, "stop": stop})
    thread.name = name
    torch.set_num_threads(settings.threads)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


def by_part(work: Prepared, on: Served, stopwatch: Stopwatch) -> dict[str, float]:
    """Milliseconds a trial that one worker spends on each part, and the MLflow server meanwhile."""
    warm(work, on)
    server = _mlflow_server(on.mlflow_url)
    before = _cpu_s(server)
    with stopwatch.running():
        seconds = on.sweep(work)["seconds"]
    found = {part: stopwatch.seconds.pop(part, 0.0) for part in dict.fromkeys(part for _, _, part in PARTS)}
    found |= {"between these": seconds - sum(found.values()), "all of it": seconds}
    found["MLflow server's CPU, beside"] = _cpu_s(server) - before
    return {part: round(1000 * each / work.work.trials, 1) for part, each in found.items()}


def _mlflow_server(url: str) -> list[psutil.Process]:
    port = url.rpartition(":")[2]
    (head,) = (p for p in psutil.Process().children() if {"mlflow", port} <= set(p.cmdline()))
    return [head, *head.children(recursive=True)]


def _cpu_s(processes: Sequence[psutil.Process]) -> float:
    return sum(sum(process.cpu_times()[:2]) for process in processes)


def main() -> None:
    """Measures and keeps both tables; exits 1 where the two sides did not do the same work."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=Path("evenhand-data"), help="folder with the data sets")
    parser.add_argument("--quick", action="store_true", help="4 trials of digits, to see it run: no numbers to quote")
    args = parser.parse_args()
    trials = {name: 4 if args.quick else TRIALS.get(name, WORKS[name].trials) for name in AIMS}
    names = ["digits"] if args.quick else list(AIMS)
    torch.set_num_threads(1)
    works, left_out = prepared_works([replace(WORKS[name], trials=trials[name]) for name in names], args.data)
    try:
        with served(args.data, workers=PROCESSES) as on:
            rounds = {work.work.name: 1 if args.quick else ROUNDS[work.work.name] for work in works}
            rows = [added(work, on, data_dir=args.data, rounds=rounds[work.work.name]) for work in works]
        stopwatch = Stopwatch()
        with served(args.data, workers=0) as on, timed_worker(on):
            parts = {work.work.name: by_part(work, on, stopwatch) for work in works if work.work.name in TRIALS}
    except Unequal as unequal:
        print(unequal, file=sys.stderr)
        sys.exit(1)
    notes = [
        f"Through API, queue, {PROCESSES} workers, MLflow; and by {PROCESSES} processes that train, validate and test"
        f" the same alphas in stacks as wide. Checked: the same samples; mean scores within {SAME:g}; training losses"
        f" of the last epoch, the median over trials, within {LOSS:g} times ({LOSS_OF_FEW:g} of fewer than {FIRST}).",
        *left_out,
    ]
    print(keep("overhead", rows, notes=notes, quick=args.quick))
    table = [{"part": part} | {name: found[part] for name, found in parts.items()} for part in parts[names[0]]]
    notes = ["Milliseconds a trial of one worker, on its own, by what its thread does or waits for."]
    print(keep("overhead_by_part", table, notes=notes, quick=args.quick))


if __name__ == "__main__":
    main()
