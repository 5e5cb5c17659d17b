"""The works that are timed: real sweeps, resolved as the service resolves them, and their data for the peers."""

import json
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import torch

from sweep.datasets import Dataset, Datasets
from sweep.errors import DatasetError
from sweep.plan import studies
from sweep.problems import parse_sweep
from sweep.resolve import ResolvedSweep, resolve
from worker.members import replicates, trial_spec
from worker.training.data import DeviceData
from worker.training.trial import Member


@dataclass(frozen=True, slots=True, kw_only=True)
class Work:
    """A sweep over alpha in one scenario, one replicate a point: what a practitioner's script does."""

    name: str
    dataset: str
    ratio: float
    epochs: int
    trials: int
    """How many a side trains in one timing."""
    model_params: dict[str, float] = field(default_factory=dict)


WORKS = {
    work.name: work
    for work in (
        Work(name="toy2d", dataset="toy2d", ratio=50, epochs=30, trials=64),
        Work(name="digits", dataset="digits", ratio=50, epochs=30, trials=32),
        Work(name="fashion_mnist", dataset="fashion_mnist", ratio=100, epochs=3, trials=4),
        Work(name="shapes", dataset="shapes", ratio=50, epochs=5, trials=4),
    )
}


class Prepared:
    """A work with its data read, for our own side."""

    def __init__(self, work: Work, data_dir: Path, *, replicate_count: int = 1, sampler: str | None = None) -> None:
        """Reads the data from `data_dir`, as the service would; the sampler is the service's choice unless given."""
        body = {
            "dataset": work.dataset,
            "imbalance": {"profile": "exponential", "ratios": [work.ratio]},
            "training": {"epochs": work.epochs},
            "trials": work.trials,
            "replicates": replicate_count,
            "sampler": sampler,
        }
        datasets = Datasets(data_dir)
        spec = parse_sweep(json.dumps(body))
        info = datasets.info(spec.dataset.name, options=spec.dataset.params)
        self.work = work
        self.resolved: ResolvedSweep = resolve(spec, info)
        (self.scenario,) = self.resolved.scenarios
        self.dataset: Dataset = datasets.load(
            spec.dataset.name, options=self.resolved.spec.dataset.params, counts=self.scenario.drawn
        )
        self.data = DeviceData(
            train_inputs=self.dataset.train_inputs,
            train_labels=self.dataset.train_labels,
            test_inputs=self.dataset.test_inputs,
            test_labels=self.dataset.test_labels,
            classes=len(info.classes),
            device=torch.device("cpu"),
        )
        (self._plan,) = studies(self.resolved.spec, 1)

    def members(self, alpha: float) -> Sequence[Member]:
        """One trial's replicates."""
        spec = self.resolved.spec
        trial = trial_spec(spec, self._plan, {"alpha": alpha}, device=self.data.device)
        return replicates(trial, spec=spec, scenario=self.scenario, dataset=self.dataset)


def prepared_works(
    works: Iterable[Work], data_dir: Path, *, sampler: str | None = None
) -> tuple[list[Prepared], list[str]]:
    """The works that there are data for, and a word on each that is left out; exits with it where none is left."""
    found, notes = [], []
    for work in works:
        try:
            found.append(Prepared(work, data_dir, sampler=sampler))
        except DatasetError as error:
            notes.append(f"{work.name} was left out: {error}")
            print(notes[-1], file=sys.stderr)
    if not found:
        sys.exit("There is nothing to time.")
    return found, notes
