"""How the cores of this machine are best used: many workers of one thread, or fewer of several; measured once.

`python -m worker.cores FOLDER` prints the answer as JSON and keeps it in FOLDER. With GPUs it is a worker a GPU, and
nothing is measured.
"""

import argparse
import json
import os
import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from threading import Timer

import numpy as np
import torch
from pydantic import BaseModel, PositiveInt
from pydantic.dataclasses import dataclass

from sweep.logs import configure_logs
from sweep.settings import Settings

from . import measurement
from .memory import free_bytes
from .pace import processor
from .training.cohort import Cohort
from .training.data import DeviceData
from .training.trial import Member, TrialSpec

_FOR_S = 1.0
_PATIENCE_S = 180.0
"""With the processes of a layout: to start, to time and to answer."""
_WORKER_BYTES = 1_500_000_000
"""What a worker takes while it trains small models; more workers than fit would make the machine swap."""
_MODELS = {"mlp": 16, "small_cnn": 1}
"""The kinds of work that are timed, with the members that learn together."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Layout:
    """Workers on one machine."""

    processes: PositiveInt
    threads: PositiveInt
    """Of each process."""


class _Kept(BaseModel):
    machine: str
    best: Layout


def layouts(cores: int, *, memory: int) -> list[Layout]:
    """Every way to divide the cores evenly, those first that have most processes."""
    fitting = max(memory // _WORKER_BYTES, 1)
    threads = [each for each in range(1, cores + 1) if cores % each == 0]
    found = [Layout(processes=min(cores // each, fitting), threads=each) for each in threads]
    return list(dict.fromkeys(found))


def best_layout(folder: Path) -> Layout:
    """The layout under which models get through the most steps a second, as measured before or now."""
    if torch.cuda.is_available():
        return Layout(processes=torch.cuda.device_count(), threads=1)
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    path, machine = folder / "cores.json", f"{cores} cores of {processor()}, torch {torch.__version__}"
    kept = measurement.read(path, _Kept, what="layout")
    if kept is not None and kept.machine == machine:
        return kept.best
    rates = [(layout, _rates(layout)) for layout in layouts(cores, memory=free_bytes())]
    first = rates[0][1]
    # The geometric mean of what each kind of work gains over the first layout: no kind counts for more.
    best, _ = max(rates, key=lambda rated: float(np.prod([rated[1][name] / first[name] for name in _MODELS])))
    measured = [asdict(layout) | {"steps_per_s": rate} for layout, rate in rates]
    text = json.dumps({"machine": machine, "best": asdict(best), "measured": measured}, indent=2)
    measurement.write(path, text, what="layout")
    return best


def _rates(layout: Layout) -> dict[str, float]:
    """Steps a second by model, of all processes of a layout together. Raises RuntimeError where one does not answer."""
    command = [sys.executable, "-m", "worker.cores", "--threads", str(layout.threads)]
    children = [
        subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        for _ in range(layout.processes)
    ]
    patience = Timer(_PATIENCE_S, _kill, [children])  # which ends what reads from them
    patience.start()
    try:
        for child in children:
            _heard(child, layout)  # it is ready
        for child in children:
            assert child.stdin is not None
            with suppress(BrokenPipeError):  # one that is gone will not be heard
                child.stdin.write("go\n")
                child.stdin.flush()
        answers = [json.loads(_heard(child, layout)) for child in children]
    finally:
        patience.cancel()
        _kill(children)
        for child in children:
            child.communicate()
    return {name: sum(answer[name] for answer in answers) for name in _MODELS}


def _kill(children: Sequence[subprocess.Popen[str]]) -> None:
    for child in children:
        child.kill()


def _heard(child: subprocess.Popen[str], layout: Layout) -> str:
    assert child.stdout is not None
    if line := child.stdout.readline():
        return line
    raise RuntimeError(
        f"Expected an answer of each of {layout.processes} processes with {layout.threads} threads within"
        f" {_PATIENCE_S:.0f} s, got none of one. Look at what else this machine does, or say how many workers it is to"
        " have."
    )


def _answer(threads: int) -> None:
    """A child: says when it is ready, waits for the word, and prints the steps a second that it came to."""
    torch.set_num_threads(threads)
    random = np.random.default_rng(0)
    images, labels = random.integers(0, 255, (256, 1, 28, 28)).astype(np.uint8), np.arange(256) % 10
    data = DeviceData(
        train_inputs=images, train_labels=labels, test_inputs=images[:10], test_labels=labels[:10], classes=10,
        device=torch.device("cpu"),
    )  # fmt: skip
    cohorts = {}
    for model, members in _MODELS.items():
        spec = TrialSpec(
            loss="adaptive", loss_params={"alpha": 0.1}, model=model, model_params={}, epochs=1, batch_size=128,
            optimizer="adamw", lr=0.001,
        )  # fmt: skip
        cohorts[model] = Cohort([Member(spec, 1, np.arange(256), np.arange(10))] * members, data)
        cohorts[model].train_epoch()
    _say("ready")
    sys.stdin.readline()
    rates = {}
    for model, cohort in cohorts.items():
        began, steps = time.perf_counter(), 0
        while (took := time.perf_counter() - began) < _FOR_S:
            steps += len(cohort.train_epoch().sizes)
        rates[model] = steps / took
    _say(json.dumps(rates))


def _say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def main() -> None:
    """Answers what the command line asks for."""
    parser = argparse.ArgumentParser(prog="python -m worker.cores", description=(__doc__ or "").partition("\n")[0])
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("folder", type=Path, nargs="?", help="where the answer is kept, or was; it is printed as JSON")
    what.add_argument("--threads", type=int, help="of a process that is one of several to be timed at once")
    asked = parser.parse_args()
    configure_logs(json=Settings().log_json)
    if asked.threads is not None:
        _answer(asked.threads)
    else:
        _say(json.dumps(asdict(best_layout(asked.folder)) | {"gpus": torch.cuda.device_count()}))


if __name__ == "__main__":
    main()
