"""From a claim to what the trainer takes: the trial's numbers, and the samples of each replicate."""

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray

from sweep.imbalance import split
from sweep.plan import Scenario, fixed_params, replicate_seeds
from sweep.space import TRAINING_PARAMETERS
from sweep.spec import SweepSpec
from sweep.store import Sweep
from sweep.studies import Claim

from .training.trial import Member, Precision, TrialSpec


def trial_spec(spec: SweepSpec, claim: Claim, *, device: torch.device) -> TrialSpec:
    """The point of a claim with everything that the sweep fixes; alpha is in `loss_params` from here on."""
    training = spec.training
    assert training.batch_size and training.lr and training.weight_decay is not None, "the sweep is resolved"
    point = fixed_params(claim.plan.loss, claim.plan.space) | dict(claim.params)
    numbers = {name: float(point.pop(name)) for name in TRAINING_PARAMETERS if name in point}
    return TrialSpec(
        loss=claim.plan.loss.name,
        loss_params=point,
        model=spec.model,
        model_params={},
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


def replicates(trial: TrialSpec, *, sweep: Sweep, scenario: Scenario, labels_N: NDArray[np.int64]) -> Sequence[Member]:
    """One member a seed, the same seeds for every trial, so that trials pair."""
    validation = sweep.spec.validation
    members = []
    for seed in replicate_seeds(sweep.spec):
        part = split(
            labels_N,
            counts=scenario.counts,
            scheme=validation.scheme,
            per_class=validation.per_class,
            fraction=validation.fraction,
            seed=seed,
        )
        members.append(Member(trial, seed, part.train, part.validation))
    return members


def _precision(asked: str, device: torch.device) -> Precision:
    if asked == "auto":
        return "bfloat16" if device.type == "cuda" else "float32"
    return "bfloat16" if asked == "bfloat16" else "float32"
