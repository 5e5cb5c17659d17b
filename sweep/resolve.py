"""Resolves a submitted sweep against its data set: every default filled in, every impossibility refused."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import prod

from .datasets import DatasetInfo
from .errors import FieldProblem, ImbalanceError, InvalidSweep
from .imbalance import (
    class_counts,
    class_order,
    default_validation_size,
    measured_ratio,
    stratified_sizes,
)
from .models import MODELS, default_model
from .plan import Scenario, total_trials
from .space import Range, Space, grid_size, grid_values, is_searched
from .spec import Imbalance, SweepSpec, Training, Validation

MAX_TRIALS = 50_000
DEFAULT_TRIALS = 8
_SMALL_POOL = 10_000
"""Pools below this many samples are trained in batches of 64, larger ones of 128."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ResolvedSweep:
    """A sweep that can be run as it stands: nothing in it is left to a default."""

    spec: SweepSpec
    scenarios: tuple[Scenario, ...]


def resolve(spec: SweepSpec, info: DatasetInfo) -> ResolvedSweep:
    """The sweep with every default filled in from its data set, and its scenarios with their class counts.

    Raises:
        InvalidSweep: naming the field, where the data set or the budget cannot carry it.
    """
    try:
        validation = _validation(spec.validation, info)
        scenarios = _scenarios(spec, info, validation)
    except ImbalanceError as error:
        raise InvalidSweep([error.problem]) from error
    resolved = spec.model_copy(
        update={
            "name": spec.name or f"{info.name} {spec.imbalance.profile}",
            "model": _model(spec, info),
            "training": _training(spec.training, info),
            "validation": validation,
            **_budget(spec),
        }
    )
    total = total_trials(resolved, len(scenarios))
    if total > MAX_TRIALS:
        raise _invalid("trials", f"the sweep would have {total} trials.", f"at most {MAX_TRIALS} in all")
    return ResolvedSweep(spec=resolved, scenarios=scenarios)


def _validation(validation: Validation, info: DatasetInfo) -> Validation:
    if validation.scheme == "stratified_holdout" or validation.per_class is not None:
        return validation
    return validation.model_copy(update={"per_class": default_validation_size(info.pool_counts)})


def _scenarios(spec: SweepSpec, info: DatasetInfo, validation: Validation) -> tuple[Scenario, ...]:
    imbalance, balanced = spec.imbalance, validation.scheme == "balanced_holdout"
    held = (validation.per_class or 0) if balanced else 0
    if min(info.pool_counts) <= held:
        raise ImbalanceError(
            f"{held} validation samples a class leave none to train on: the smallest class of"
            f" {info.name} has {min(info.pool_counts)}.",
            expected=f"at most {min(info.pool_counts) - 1}",
            field="validation.per_class",
        )
    pool = [count - held for count in info.pool_counts]
    order = _class_order(spec, info.classes)
    counts = _named_counts(imbalance, info.classes)
    ratios: Sequence[float | None] = imbalance.ratios or [None]
    made = [
        class_counts(
            imbalance.profile,
            pool=pool,
            ratio=ratio,
            n_max=imbalance.n_max,
            minority=imbalance.minority,
            counts=counts,
            order=order,
        )
        for ratio in ratios
    ]
    if not balanced:
        for falling in made:  # refuses a class that is too small to share
            stratified_sizes(falling, fraction=validation.fraction)
    return tuple(
        Scenario(profile=imbalance.profile, ratio=ratio or measured_ratio(falling), counts=falling)
        for ratio, falling in zip(ratios, made, strict=True)
    )


def _class_order(spec: SweepSpec, classes: Sequence[str]) -> tuple[int, ...]:
    if isinstance(spec.class_order, str):
        return class_order(spec.class_order, classes=len(classes), seed=spec.seed)
    if sorted(spec.class_order) != sorted(classes):
        raise _invalid("class_order", "the order does not name each class once.", f"an order of {', '.join(classes)}")
    return tuple(classes.index(name) for name in spec.class_order)


def _named_counts(imbalance: Imbalance, classes: Sequence[str]) -> list[int] | None:
    if imbalance.counts is None:
        return None
    if set(imbalance.counts) != set(classes):
        odd = sorted(set(imbalance.counts) ^ set(classes))
        raise _invalid(
            "imbalance.counts",
            f"counts and classes differ by {', '.join(odd[:10])}.",
            f"a count for each of {', '.join(classes[:50])}",
        )
    return [imbalance.counts[name] for name in classes]


def _model(spec: SweepSpec, info: DatasetInfo) -> str:
    if spec.model == "auto":
        return default_model(info.kind, info.shape)
    if info.kind not in MODELS[spec.model].takes:
        able = [row.name for row in MODELS.values() if info.kind in row.takes]
        raise _invalid(
            "model",
            f"{spec.model} takes no {info.kind}s, which {info.name} has.",
            f"auto or one of {', '.join(able)}",
        )
    return spec.model


def _training(training: Training, info: DatasetInfo) -> Training:
    sgd = training.optimizer == "sgd"
    defaults: dict[str, float | bool] = {
        "batch_size": 64 if sum(info.pool_counts) < _SMALL_POOL else 128,
        "lr": 0.05 if sgd else 0.002,
        "weight_decay": 2e-4 if sgd else 0.01,
        "augment": info.kind == "image" and info.shape[0] == 3,
    }
    return training.model_copy(
        update={name: value for name, value in defaults.items() if getattr(training, name) is None}
    )


def _budget(spec: SweepSpec) -> dict[str, object]:
    """The alpha, search, sampler and trials that the sweep runs with."""
    space, *rivals = (spec.space(loss) for loss in spec.losses)
    searched = [value for value in space.values() if is_searched(value)]
    searched = searched or [value for rival in rivals for value in rival.values() if is_searched(value)]
    if not searched and (spec.trials or 1) > 1:
        raise _invalid("trials", f"nothing varies, so {spec.trials} trials would be one and the same.", "trials 1")
    sampler = spec.sampler
    if sampler is None:
        sampler = "grid" if all(isinstance(value, list) for value in searched) else "tpe"
    if sampler != "grid":
        return {
            "alpha": space.get("alpha"),
            "sampler": sampler,
            "trials": spec.trials or (DEFAULT_TRIALS if searched else 1),
        }
    gridded = _gridded(space, spec.trials)
    size = grid_size(gridded)
    if spec.trials not in (None, size):
        expected = f"trials {size}, or none (then it is the size of the grid)"
        raise _invalid("trials", f"the grid has {size} points, and {spec.trials} trials are asked.", expected)
    for rival in rivals:  # what both vary has the swept loss's points
        gridded = {**_gridded({name: gridded.get(name, value) for name, value in rival.items()}, size), **gridded}
    return {
        "alpha": gridded.get("alpha") if "alpha" in space else None,
        "search": {name: gridded.get(name, value) for name, value in spec.search.items()},
        "sampler": sampler,
        "trials": size,
    }


def _gridded(space: Space, trials: int | None) -> Space:
    """The space with `steps` in every range: a lone range without them takes what the trials leave for it."""
    open_ranges = {
        name: value
        for name, value in space.items()
        if isinstance(value, Range) and value.steps is None and is_searched(value)
    }
    if not open_ranges:
        return space
    others = prod(len(grid_values(value)) for name, value in space.items() if name not in open_ranges)
    steps = (trials or DEFAULT_TRIALS * others) // others
    if len(open_ranges) > 1 or steps < 2:
        name = next(iter(open_ranges))
        field = name if name == "alpha" else f"search.{name}"
        raise _invalid(
            field,
            "a grid does not know how many points this range has.",
            '"steps" in the range, or a list of values',
        )
    return {
        **space,
        **{name: value.model_copy(update={"steps": steps}) for name, value in open_ranges.items()},
    }


def _invalid(field: str, problem: str, expected: str) -> InvalidSweep:
    return InvalidSweep([FieldProblem(field=field, problem=problem, expected=expected)])
