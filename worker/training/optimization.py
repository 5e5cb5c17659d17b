"""How a trial's weights are moved: its optimizer, and its learning rate at every step."""

import math
from collections.abc import Iterable

import torch
from torch import nn

from .trial import TrialSpec


def build_optimizer(spec: TrialSpec, parameters: Iterable[nn.Parameter]) -> torch.optim.Optimizer:
    """The trial's optimizer over all `parameters` as one group, weight decay on every one of them.

    Raises ValueError for an unknown optimizer.
    """
    if spec.optimizer == "sgd":
        return torch.optim.SGD(
            parameters,
            lr=spec.lr,
            momentum=spec.momentum,
            nesterov=spec.nesterov,
            weight_decay=spec.weight_decay,
            fused=True,
        )
    if spec.optimizer == "adamw":
        return torch.optim.AdamW(parameters, lr=spec.lr, weight_decay=spec.weight_decay, fused=True)
    raise ValueError(f"Expected an optimizer among sgd, adamw, got {spec.optimizer!r}. Name one of these.")


def learning_rates(spec: TrialSpec, *, epoch: int, steps: int) -> list[float]:
    """The learning rate of each of the `steps` steps of an epoch (counted from 1).

    It rises linearly over `warmup_epochs` and reaches `lr` at their last step; from then on it follows the
    schedule.
    """
    first = (epoch - 1) * steps
    return [
        spec.lr * _factor(spec, step=step, warmup=spec.warmup_epochs * steps, total=spec.epochs * steps)
        for step in range(first, first + steps)
    ]


def _factor(spec: TrialSpec, *, step: int, warmup: int, total: int) -> float:
    if step < warmup:
        return (step + 1) / warmup
    if spec.schedule == "cosine":
        return (1 + math.cos(math.pi * (step - warmup) / (total - warmup))) / 2
    if spec.schedule == "step":
        # Rounded, since .7 * 10 is a little more than 7 in binary and the drop would come a step late.
        passed = sum(step >= round(milestone * total) for milestone in spec.step_milestones)
        return spec.step_factor**passed
    return 1.0
