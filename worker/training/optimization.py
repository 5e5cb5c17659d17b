"""How members' weights are moved: all parameters of a stack in one matrix, and the optimizers on it.

Shapes: K members, P parameters of each.
"""

import math
from collections.abc import Callable, Mapping, Sequence

import torch
from torch import Tensor, nn

from .trial import TrialSpec

_BETAS, _EPS = (0.9, 0.999), 1e-8
"""AdamW's, as torch has them."""


class Flat:
    """A stack's parameters, each (K, …), or without the K of one member alone, as a matrix whose parts they become."""

    def __init__(self, parameters: Sequence[nn.Parameter], *, members: int) -> None:
        """Moves the parameters' values into the matrix `values_KP`."""
        self._parameters, self._members = list(parameters), members
        self._shapes = [parameter.shape for parameter in parameters]
        self.values_KP = torch.cat([parameter.detach().reshape(members, -1) for parameter in parameters], dim=1)
        self._view()

    def gradient(self, loss: Tensor) -> Tensor:
        """The gradient (K, P) of a 0-d loss."""
        gradients = torch.autograd.grad(loss, self._parameters)
        return torch.cat([gradient.reshape(len(self.values_KP), -1) for gradient in gradients], dim=1)

    def spread(self, values: Sequence[float]) -> Tensor | float:
        """One value a member (K, 1), or as a number where all members share it."""
        if len(set(values)) == 1:
            return values[0]
        return torch.tensor(values, dtype=self.values_KP.dtype, device=self.values_KP.device)[:, None]

    def keep(self, members: Tensor) -> None:
        """Goes on with the parameters of these members alone."""
        self.values_KP = self.values_KP[members]
        self._view()

    def _view(self) -> None:
        sizes = [shape.numel() // self._members for shape in self._shapes]
        for parameter, shape, part_KP in zip(
            self._parameters, self._shapes, torch.split(self.values_KP, sizes, dim=1), strict=True
        ):
            parameter.data = part_KP.view(shape if self._members == 1 else (-1, *shape[1:]))


class Sgd:
    """Stochastic gradient descent with momentum, Nesterov's or plain, and weight decay: `torch.optim.SGD` a member."""

    def __init__(self, specs: Sequence[TrialSpec], flat: Flat) -> None:
        """Starts at rest."""
        self._flat, self._nesterov = flat, specs[0].nesterov
        self._velocity_KP = torch.zeros_like(flat.values_KP)
        self._take(specs)

    def keep(self, specs: Sequence[TrialSpec], members: Tensor) -> None:
        """Goes on with these members alone, after their parameters."""
        self._velocity_KP = self._velocity_KP[members]
        self._take(specs)

    def step(self, gradient_KP: Tensor, *, factor: float) -> None:
        """Moves the parameters against their gradient, which is written over; `factor` is the schedule's."""
        slope_KP, velocity_KP = gradient_KP, self._velocity_KP
        slope_KP += self._decay * self._flat.values_KP
        velocity_KP.mul_(self._momentum).add_(slope_KP)
        direction_KP = slope_KP.add_(self._momentum * velocity_KP) if self._nesterov else velocity_KP
        self._flat.values_KP -= factor * self._rate * direction_KP

    def _take(self, specs: Sequence[TrialSpec]) -> None:
        self._rate = self._flat.spread([spec.lr for spec in specs])
        self._decay = self._flat.spread([spec.weight_decay for spec in specs])
        self._momentum = self._flat.spread([spec.momentum for spec in specs])


class AdamW:
    """Adam with decoupled weight decay (Loshchilov and Hutter 2019): `torch.optim.AdamW` a member."""

    def __init__(self, specs: Sequence[TrialSpec], flat: Flat) -> None:
        """Starts with moments of zero."""
        self._flat, self._steps = flat, 0
        self._mean_KP, self._square_KP = torch.zeros_like(flat.values_KP), torch.zeros_like(flat.values_KP)
        self._take(specs)

    def keep(self, specs: Sequence[TrialSpec], members: Tensor) -> None:
        """Goes on with these members alone, after their parameters."""
        self._mean_KP, self._square_KP = self._mean_KP[members], self._square_KP[members]
        self._take(specs)

    def step(self, gradient_KP: Tensor, *, factor: float) -> None:
        """Moves the parameters against their gradient, which is written over; `factor` is the schedule's."""
        self._steps += 1
        first, second = (1 - beta**self._steps for beta in _BETAS)
        values_KP, mean_KP, square_KP = self._flat.values_KP, self._mean_KP, self._square_KP
        values_KP *= 1 - factor * self._rate_decay
        mean_KP.lerp_(gradient_KP, 1 - _BETAS[0])
        square_KP.mul_(_BETAS[1]).addcmul_(gradient_KP, gradient_KP, value=1 - _BETAS[1])
        # In the gradient's memory: at many members every further array costs more than its arithmetic.
        scale_KP = torch.sqrt(square_KP, out=gradient_KP).div_(math.sqrt(second)).add_(_EPS)
        step_KP = torch.div(mean_KP, scale_KP, out=scale_KP)
        values_KP -= step_KP.mul_(factor * self._rate / first)

    def _take(self, specs: Sequence[TrialSpec]) -> None:
        self._rate = self._flat.spread([spec.lr for spec in specs])
        self._rate_decay = self._flat.spread([spec.lr * spec.weight_decay for spec in specs])


OPTIMIZERS: Mapping[str, Callable[[Sequence[TrialSpec], Flat], Sgd | AdamW]] = {"sgd": Sgd, "adamw": AdamW}


def schedule_factors(spec: TrialSpec, *, epoch: int, steps: int) -> list[float]:
    """What the learning rate is multiplied by at each of the `steps` steps of an epoch (counted from 1).

    It rises linearly over `warmup_epochs` and reaches 1 at their last step; from then on it follows the schedule.
    """
    first = (epoch - 1) * steps
    return [
        _factor(spec, step=step, warmup=spec.warmup_epochs * steps, total=spec.epochs * steps)
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
