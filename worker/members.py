"""From a claim to what the trainer takes: the trial's numbers, and the samples of each replicate."""

from collections.abc import Mapping, Sequence

import torch

from sweep.datasets import Dataset
from sweep.models import MODELS
from sweep.plan import Scenario, StudyPlan, fixed_params, replicate_seeds
from sweep.space import TRAINING_PARAMETERS
from sweep.spec import SweepSpec, Validation
from sweep.split import Split, split, split_images

from .training.trial import Member, Precision, TrialSpec


def trial_spec(spec: SweepSpec, plan: StudyPlan, params: Mapping[str, float], *, device: torch.device) -> TrialSpec:
    """A study's point, as suggested, with everything that the sweep fixes; alpha is in `loss_params` from here on."""
    training = spec.training
    assert training.batch_size and training.lr and training.weight_decay is not None, "the sweep is resolved"
    point = fixed_params(plan.loss, plan.space) | dict(params)
    whole = {parameter.name for parameter in MODELS[spec.model.name].parameters if parameter.kind == "integer"}
    numbers = {name: float(point.pop(name)) for name in TRAINING_PARAMETERS if name in point}
    return TrialSpec(
        loss=plan.loss.name,
        loss_params=point,
        model=spec.model.name,
        model_params={name: int(value) if name in whole else float(value) for name, value in spec.model.params.items()},
        epochs=training.epochs,
        batch_size=int(numbers.get("batch_size", training.batch_size)),
        optimizer=training.optimizer,
        lr=numbers.get("lr", training.lr),
        momentum=numbers.get("momentum", training.momentum),
        nesterov=training.nesterov and training.optimizer == "sgd",
        weight_decay=numbers.get("weight_decay", training.weight_decay),
        schedule=training.schedule,
        warmup_epochs=training.warmup_epochs,
        augment=bool(training.augment),
        precision=_precision(training.precision, device),
    )


def replicates(trial: TrialSpec, *, spec: SweepSpec, scenario: Scenario, dataset: Dataset) -> Sequence[Member]:
    """One member a seed, the same seeds for every trial, so that trials pair."""
    parts = {seed: _split(dataset, scenario, spec.validation, seed=seed) for seed in replicate_seeds(spec)}
    return [Member(trial, seed, part.train, part.validation) for seed, part in parts.items()]


def _split(dataset: Dataset, scenario: Scenario, validation: Validation, *, seed: int) -> Split:
    if dataset.image_counts is not None:
        return split_images(dataset.image_counts, fraction=validation.fraction, seed=seed)
    return split(
        dataset.train_labels,
        counts=scenario.drawn,
        scheme=validation.scheme,
        per_class=validation.per_class,
        fraction=validation.fraction,
        seed=seed,
    )


def _precision(asked: str, device: torch.device) -> Precision:
    on_gpu = device.type == "cuda"
    known: dict[str, Precision] = {
        "auto": "bfloat16" if on_gpu else "float32",
        "tf32": "tf32" if on_gpu else "float32",  # a CPU multiplies float32 as it is
        "bfloat16": "bfloat16",
    }
    return known.get(asked, "float32")
