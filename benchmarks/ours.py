"""Our side of training alone: no service, no queue, no tracking, the trainer and a sampler.

python -m benchmarks.ours FOLDER --data DATA --trials N --processes 2 --out result.json [--width auto|N]

The parent holds one Optuna study in memory. Each process trains a stack of trials at a time, as wide as was measured
to pay; the measurement is made before the clock starts, as imports and the reading of data are, and is kept in the data
folder. As in the service, at most a quarter of the trials are in training at once: the sampler learns from
the others.
"""

import json
import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from multiprocessing import get_context
from multiprocessing.connection import Connection, wait
from pathlib import Path
from time import perf_counter
from typing import Any

import optuna
import torch
from optuna.distributions import BaseDistribution, FloatDistribution
from optuna.samplers import TPESampler

from sweep.samplers import at_once
from sweep.space import Range
from worker.pace import Paces
from worker.training.metrics import accuracy, balanced_accuracy, mean_iou, recall
from worker.training.record import Evaluation
from worker.training.trainer import Training

from .peers.command import Result, Scores, parser, write
from .works import WORKS, Prepared, Work


class Crew:
    """Processes that have imported everything and read a work's data, and wait for something to do with it."""

    def __init__(self, work: Work, data_dir: Path, *, processes: int) -> None:
        """Starts them, and returns once all are ready."""
        spawn = get_context("spawn")
        self._pipes: list[Connection] = []
        self._processes = []
        for _ in range(processes):
            ours, theirs = spawn.Pipe()
            process = spawn.Process(target=_serve, args=(theirs, work, data_dir), daemon=True)
            process.start()
            theirs.close()
            self._pipes.append(ours)
            self._processes.append(process)
        for at in range(processes):
            self.take(at)

    def __len__(self) -> int:
        """The number of processes."""
        return len(self._pipes)

    def give(self, at: int, task: Callable[[Prepared], object]) -> None:
        """Has process `at` do something; `task` must be importable there."""
        self._pipes[at].send(task)

    def take(self, at: int) -> Any:
        """What process `at` found, once it is done. Raises EOFError if it died; its traceback is on stderr."""
        return self._pipes[at].recv()

    def warm(self, task: Callable[[Prepared], object]) -> None:
        """Has every process do something that nobody times: the first of all takes longer."""
        for at in range(len(self)):
            self.give(at, task)
        for at in range(len(self)):
            self.take(at)

    def done(self) -> list[int]:
        """The processes, at least one, that have something to take."""
        return [self._pipes.index(pipe) for pipe in wait(self._pipes) if isinstance(pipe, Connection)]

    def leave(self) -> None:
        """Ends the processes."""
        for pipe, process in zip(self._pipes, self._processes, strict=True):
            pipe.send(None)
            process.join()


def _serve(pipe: Connection, work: Work, data_dir: Path) -> None:
    torch.set_num_threads(1)
    prepared = Prepared(work, data_dir)
    pipe.send(None)
    for task in iter(pipe.recv, None):
        pipe.send(task(prepared))


def train(prepared: Prepared, *, alphas: Sequence[float], width: int, test: bool = False) -> list[Result]:
    """Trains one trial an alpha, in stacks of up to `width`; each is scored on its validation rows every epoch.

    With `test` they are tested in the end as well, as the service does; what comes of it is not kept.
    """
    members = [member for alpha in alphas for member in prepared.members(alpha)]
    training = Training(members, prepared.data, width=width)
    results = [Result(alpha=alpha, samples=0, steps=0, final={}) for alpha in alphas]
    while training.live:
        for record in training.run_epoch():
            if record.failure:
                raise RuntimeError(record.failure)
            result = results[record.member]
            result["samples"] += record.samples
            result["steps"] += record.steps
            result["final"] = _scores(record.validation, is_dense=prepared.data.train.is_dense)
            result["train_loss"] = record.train_loss
    if test:
        training.test(range(len(members)))
    return results


def _scores(validation: Evaluation, *, is_dense: bool) -> Scores:
    confusion_CC = validation.confusion_CC
    scores: Scores = {
        "accuracy": accuracy(confusion_CC),
        "balanced_accuracy": balanced_accuracy(confusion_CC),
        "recall": recall(confusion_CC).tolist(),
    }
    return scores | {"mean_iou": mean_iou(confusion_CC)} if is_dense else scores


def search(crew: Crew, space: Range, *, seed: int, trials: int, width: int, most: int) -> list[Result]:
    """A sweep over alpha: every process has a stack of trials in training, until all are told."""
    study = optuna.create_study(direction="maximize", sampler=TPESampler(seed=seed, constant_liar=True))
    alpha: dict[str, BaseDistribution] = {"alpha": FloatDistribution(space.low, space.high, log=space.log)}
    sizes = stacks(trials, processes=len(crew), width=width, most=most)
    running: dict[int, list[optuna.Trial]] = {}
    results: dict[int, Result] = {}
    while len(results) < trials:
        for at in range(len(crew)):
            if sizes and at not in running:
                running[at] = [study.ask(alpha) for _ in range(sizes.pop())]
                alphas = [trial.params["alpha"] for trial in running[at]]
                crew.give(at, partial(train, alphas=alphas, width=width))
        for at in crew.done():
            for trial, result in zip(running.pop(at), crew.take(at), strict=True):
                results[trial.number] = result
                study.tell(trial, result["final"]["balanced_accuracy"])
    return [results[number] for number in sorted(results)]


def stacks(trials: int, *, processes: int, width: int, most: int) -> list[int]:
    """How many trials to train together, one after another: as alike as can be, and as many for every process.

    `most` are in training at once, as the service lets them.
    """
    widest = min(width, math.ceil(min(trials, most) / processes))
    turns = math.ceil(trials / widest / processes) * processes
    sizes = [trials // turns + (at < trials % turns) for at in range(turns)]
    return [size for size in sizes if size]


def main() -> None:
    """Runs the sweep."""
    arguments = parser(__doc__)
    arguments.add_argument("--data", type=Path, default=Path("evenhand-data"), help="the data folder, as the service's")
    arguments.add_argument("--processes", type=int, default=2, help="that train at the same time, a thread each")
    arguments.add_argument("--width", default="auto", help="trials in a stack; auto: as many as measured to pay")
    args = arguments.parse_args()
    fields = json.loads((args.folder / "work.json").read_text())
    trials = args.trials or fields["trials"]
    work = replace(WORKS[fields["dataset"]], epochs=fields["epochs"], trials=trials)
    torch.set_num_threads(1)
    prepared = Prepared(work, args.data)
    space = prepared.resolved.spec.alpha
    assert isinstance(space, Range), "a work searches alpha"
    if args.width == "auto":
        width = Paces(args.data / "paces").of(prepared.members(space.low), prepared.data).width
    else:
        width = int(args.width)
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    crew = Crew(work, args.data, processes=args.processes)
    began = perf_counter()
    results = search(crew, space, seed=fields["seed"], trials=trials, width=width, most=at_once(prepared.resolved.spec))
    seconds = perf_counter() - began
    crew.leave()
    write(args.out, side=f"evenhand, {args.processes} processes, width {width}", seconds=seconds, trials=results)


if __name__ == "__main__":
    main()
