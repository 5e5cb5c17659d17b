"""Optuna's samplers and pruners for a study of ours, and the points that are known before anybody asks."""

import sys
import warnings
from collections.abc import Callable, Mapping
from types import SimpleNamespace

import optuna
from numpy.random import SeedSequence
from optuna.exceptions import ExperimentalWarning
from optuna.pruners import BasePruner, HyperbandPruner, MedianPruner, NopPruner
from optuna.samplers import BaseSampler, CmaEsSampler, GPSampler, QMCSampler, RandomSampler, TPESampler
from optuna.study import Study
from optuna.trial import FrozenTrial

from .space import TRAINING_PARAMETERS, Range, Space, grid_points, is_searched
from .spec import SweepSpec

_FIRST_LOOK = 4
"""A model-based sampler draws a quarter of its points at random before it models, 10 at most as Optuna does."""
_MODELLING: Mapping[str | None, Callable[..., BaseSampler]] = {
    "tpe": TPESampler,
    "cmaes": CmaEsSampler,
    "gp": GPSampler,
}
"""The samplers whose next point depends on the results so far."""


def known_points(spec: SweepSpec, space: Space, size: int) -> list[dict[str, float]] | None:
    """The study's points where they depend on seed and number alone (grid, random, qmc), else None.

    They do not depend on the scenario either, so that a surface over the ratios has the same alphas everywhere.
    """
    if not any(map(is_searched, space.values())):
        return [{} for _ in range(size)]
    if spec.sampler == "grid":
        fixed = {name for name, value in space.items() if isinstance(value, (int, float))}
        return [{k: v for k, v in point.items() if k not in fixed} for point in grid_points(space)]
    if spec.sampler == "random":
        return _drawn(RandomSampler(seed=spec.seed), space, size)
    if spec.sampler == "qmc":
        # The sequence begins with the second ask: the first only tells the sampler what the space is.
        with warnings.catch_warnings(action="ignore", category=ExperimentalWarning):
            sampler = QMCSampler(seed=spec.seed, scramble=True)
        return _drawn(sampler, space, size + 1)[1:]
    return None


def sampler_for(spec: SweepSpec, number: int) -> BaseSampler:
    """The sampler that suggests slot `number`'s point, seeded by the sweep's seed and that number."""
    assert spec.trials is not None
    seed = int(SeedSequence([spec.seed, number]).generate_state(1)[0])
    first = max(2, min(10, spec.trials // _FIRST_LOOK))
    build = _MODELLING.get(spec.sampler)
    return RandomSampler(seed=seed) if build is None else build(seed=seed, n_startup_trials=first)


def at_once(spec: SweepSpec) -> int:
    """How many trials of a study may be in training at the same time.

    A sampler that models has nothing to model while all its trials run, so it gets a quarter of them at a time.
    """
    assert spec.trials is not None
    return max(2, spec.trials // _FIRST_LOOK) if spec.sampler in _MODELLING else sys.maxsize


def learns(spec: SweepSpec) -> bool:
    """Whether a trial depends on the results of those before it: its point by the sampler, or its end by the pruner."""
    return spec.sampler in _MODELLING or spec.pruner != "none"


class _SlotHyperband(HyperbandPruner):
    """Hyperband whose brackets follow the sweep's seed and the slot.

    Optuna's follow the study's name and the attempt's number, so that the same sweep would prune otherwise each time.
    """

    def __init__(self, *, seed: int, study_key: str, epochs: int) -> None:
        super().__init__(min_resource=1, max_resource=epochs)
        self._seed, self._study_key = seed, study_key

    def _get_bracket_id(self, study: Study, trial: FrozenTrial) -> int:
        alike = SimpleNamespace(study_name=f"{self._seed}/{self._study_key}")
        slot = SimpleNamespace(number=trial.user_attrs["slot"])
        return super()._get_bracket_id(alike, slot)  # type: ignore[arg-type]


def pruner_for(spec: SweepSpec, study_key: str) -> BasePruner:
    """The pruner of the study `study_key`; hyperband's resource is the epoch."""
    build: dict[str, Callable[[], BasePruner]] = {
        "none": NopPruner,
        "median": MedianPruner,
        "hyperband": lambda: _SlotHyperband(seed=spec.seed, study_key=study_key, epochs=spec.training.epochs),
    }
    return build[spec.pruner]()


def suggest(trial: optuna.Trial, space: Space) -> dict[str, float]:
    """The point of `trial`: a value for every parameter of the space that is not fixed."""
    point: dict[str, float] = {}
    for name, value in space.items():
        if isinstance(value, list):
            point[name] = trial.suggest_categorical(name, value)
        elif isinstance(value, Range) and name in TRAINING_PARAMETERS and TRAINING_PARAMETERS[name].kind == "integer":
            point[name] = trial.suggest_int(name, int(value.low), int(value.high), log=value.log)
        elif isinstance(value, Range):
            point[name] = trial.suggest_float(name, value.low, value.high, log=value.log)
    return point


def _drawn(sampler: BaseSampler, space: Space, size: int) -> list[dict[str, float]]:
    """The first `size` points of a sampler that looks at no results."""
    study = optuna.create_study(sampler=sampler)
    points = []
    for _ in range(size):
        trial = study.ask()
        points.append(suggest(trial, space))
        study.tell(trial, 0.0)
    return points
