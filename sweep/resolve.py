"""Resolves a submitted sweep against its data set: every default filled in, every impossibility refused."""

from dataclasses import dataclass
from math import prod

from .choices import DatasetChoice, ModelChoice
from .datasets import DatasetInfo
from .datasets.builtin import OPTIONS
from .errors import ImbalanceError, InvalidSweep, invalid
from .models import MODELS, SMALLEST_IMAGE, default_model
from .plan import Scenario, total_trials
from .scenarios import resolve_validation, scenarios
from .space import Range, Space, grid_size, grid_values, is_searched
from .spec import CLASS_OBJECTIVES, SweepSpec, Training

MAX_TRIALS = 50_000
DEFAULT_TRIALS = 8
_SMALL_POOL = 10_000
"""Pools below this many samples are trained in batches of 64, larger ones of 128."""
_DENSE_BATCH = 16
_FLAT = ("linear", "mlp")
_INPUTS = {"vector": "vectors", "image": "images with one label each", "dense": "images with one label a pixel"}


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
    _check_objective(spec.objective, info)
    _check_momentum(spec)
    _check_augment(spec, info)
    try:
        validation = resolve_validation(spec.validation, info)
        made = scenarios(spec, info, validation)
    except ImbalanceError as error:
        raise InvalidSweep([error.named(info.classes)]) from error
    resolved = spec.model_copy(
        update={
            "dataset": _dataset(spec.dataset),
            "name": spec.name or f"{info.name} {spec.imbalance.profile}",
            "model": _model(spec, info),
            "training": _training(spec.training, info),
            "validation": validation,
            **_budget(spec),
        }
    )
    total = total_trials(resolved, len(made))
    if total > MAX_TRIALS:
        raise invalid("trials", f"the sweep would have {total} trials.", f"at most {MAX_TRIALS} in all")
    return ResolvedSweep(spec=resolved, scenarios=made)


def _dataset(choice: DatasetChoice) -> DatasetChoice:
    defaults = {option.name: option.default for option in OPTIONS.get(choice.name, ())}
    return choice.model_copy(update={"params": {**defaults, **choice.params}})


def _check_objective(objective: str, info: DatasetInfo) -> None:
    score, _, name = objective.partition("/")
    if score in ("mean_iou", "iou") and info.kind != "dense":
        raise invalid("objective", f"{info.name} has no labels by pixel, which {score} is about.", "another objective")
    if score in CLASS_OBJECTIVES and name not in info.classes:
        raise invalid("objective", f"no class is called {name!r}.", f"one of {', '.join(info.classes[:50])}")


def _check_momentum(spec: SweepSpec) -> None:
    momentum, training = spec.search.get("momentum"), spec.training
    if momentum is None:
        return
    field = "search.momentum"
    if training.optimizer != "sgd":
        raise invalid(field, f"{training.optimizer} has no momentum.", 'momentum with "optimizer": "sgd" only')
    values = [momentum.low] if isinstance(momentum, Range) else grid_values("momentum", momentum)
    if training.nesterov and min(values) == 0:
        raise invalid(field, "Nesterov needs momentum, got momentum 0.", "values above 0, or nesterov false")


def _check_augment(spec: SweepSpec, info: DatasetInfo) -> None:
    if spec.training.augment and info.kind == "vector":
        raise invalid(
            "training.augment", f"{info.name} has vectors, which are not augmented.", "augment with images only"
        )


def _model(spec: SweepSpec, info: DatasetInfo) -> ModelChoice:
    model = spec.model
    if model.name == "auto":
        model = ModelChoice(name=default_model(info.kind, info.shape))
    if info.kind not in MODELS[model.name].takes:
        able = [row.name for row in MODELS.values() if info.kind in row.takes]
        raise invalid(
            "model",
            f"{model.name} takes no {_INPUTS[info.kind]}, which {info.name} has.",
            f"auto or one of {', '.join(able)}",
        )
    if model.name not in _FLAT and min(info.shape[1:]) < SMALLEST_IMAGE:
        size = " x ".join(map(str, info.shape[1:]))
        raise invalid(
            "model",
            f"{model.name} takes images of {SMALLEST_IMAGE} pixels a side or more, and {info.name} has {size}.",
            "larger images" if info.kind == "dense" else f"auto or one of {', '.join(_FLAT)}",
        )
    return model


def _training(training: Training, info: DatasetInfo) -> Training:
    sgd = training.optimizer == "sgd"
    defaults: dict[str, float | bool] = {
        "batch_size": _batch_size(info),
        "lr": 0.05 if sgd else 0.002,
        "weight_decay": 2e-4 if sgd else 0.01,
        "augment": info.kind == "dense" or (info.kind == "image" and info.shape[0] == 3),
    }
    return training.model_copy(
        update={name: value for name, value in defaults.items() if getattr(training, name) is None}
    )


def _batch_size(info: DatasetInfo) -> int:
    if info.kind == "dense":
        return _DENSE_BATCH
    return 64 if sum(info.pool_counts) < _SMALL_POOL else 128


def _budget(spec: SweepSpec) -> dict[str, object]:
    """The alpha, search, sampler and trials that the sweep runs with."""
    space, *rivals = (spec.space(loss) for loss in spec.losses)
    searched = [value for value in space.values() if is_searched(value)]
    searched = searched or [value for rival in rivals for value in rival.values() if is_searched(value)]
    if not searched and (spec.trials or 1) > 1:
        raise invalid("trials", f"nothing varies, so {spec.trials} trials would be one and the same.", "trials 1")
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
    _check_whole_numbers(gridded)
    size = grid_size(gridded)
    if spec.trials not in (None, size):
        expected = f"trials {size}, or none (then it is the size of the grid)"
        raise invalid("trials", f"the grid has {size} points, and {spec.trials} trials are asked.", expected)
    for rival in rivals:  # what both vary has the swept loss's points
        gridded = {**_gridded({name: gridded.get(name, value) for name, value in rival.items()}, size), **gridded}
    return {
        "alpha": gridded.get("alpha") if "alpha" in space else None,
        "search": {name: gridded.get(name, value) for name, value in spec.search.items()},
        "sampler": sampler,
        "trials": size,
    }


def _check_whole_numbers(space: Space) -> None:
    for name, value in space.items():
        values = grid_values(name, value)
        if len(set(values)) < len(values):
            problem = f"a grid of {len(values)} steps repeats whole numbers."
            raise invalid(f"search.{name}", problem, f"at most {len(set(values))} steps, or a list of values")


def _gridded(space: Space, trials: int | None) -> Space:
    """The space with `steps` in every range: a lone range without them takes what the trials leave for it."""
    open_ranges = {
        name: value
        for name, value in space.items()
        if isinstance(value, Range) and value.steps is None and is_searched(value)
    }
    if not open_ranges:
        return space
    others = prod(len(grid_values(name, value)) for name, value in space.items() if name not in open_ranges)
    steps = (trials or DEFAULT_TRIALS * others) // others
    if len(open_ranges) > 1 or steps < 2:
        name = next(iter(open_ranges))
        field = name if name == "alpha" else f"search.{name}"
        raise invalid(
            field,
            "a grid does not know how many points this range has.",
            '"steps" in the range, or a list of values',
        )
    return {
        **space,
        **{name: value.model_copy(update={"steps": steps}) for name, value in open_ranges.items()},
    }
