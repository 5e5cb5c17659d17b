"""How members' weights are moved: all parameters of a stack in one vector, and the optimizers on it.

Shapes: K members, P parameters of all of them together.
"""

import math
from collections.abc import Callable, Mapping, Sequence

import torch
from torch import Tensor, nn

from .trial import TrialSpec

_BETAS, _EPS = (0.9, 0.999), 1e-8
"""AdamW's, as torch has them."""


class Flat:
    """A stack's parameters, each (K, …), as one vector (P,) whose parts they are views of."""

    def __init__(self, parameters: Sequence[nn.Parameter], *, members: int) -> None:
        """Moves the parameters' values into the vector."""
        self._parameters, self._members = list(parameters), members
        self.vector = torch.cat([parameter.detach().flatten() for parameter in parameters])
        for parameter, part in zip(parameters, self._parts(self.vector), strict=True):
            parameter.data = part.view_as(parameter)

    def gradient(self, loss: Tensor) -> Tensor:
        """The gradient (P,) of a 0-d loss."""
        gradients = torch.autograd.grad(loss, self._parameters)
        return torch.cat([gradient.flatten() for gradient in gradients])

    def spread(self, values: Sequence[float]) -> Tensor | float:
        """One value a member as one an element (P,), or as a number where all members share it."""
        if len(set(values)) == 1:
            return values[0]
        value_K1 = torch.tensor(values, dtype=self.vector.dtype, device=self.vector.device)[:, None]
        return torch.cat([value_K1.expand(-1, part.numel() // self._members).flatten() for part in self._parameters])

    def keep(self, vector: Tensor, members: Tensor) -> Tensor:
        """A vector like this one with the elements of these members alone."""
        return torch.cat([part.view(self._members, -1)[members].flatten() for part in self._parts(vector)])

    def _parts(self, vector: Tensor) -> tuple[Tensor, ...]:
        return torch.split(vector, [parameter.numel() for parameter in self._parameters])


class Sgd:
    """Stochastic gradient descent with momentum, Nesterov's or plain, and weight decay: `torch.optim.SGD` a member."""

    def __init__(self, specs: Sequence[TrialSpec], flat: Flat) -> None:
        """Starts at rest."""
        self.go_on(specs, flat, {"velocity": torch.zeros_like(flat.vector)})

    def go_on(self, specs: Sequence[TrialSpec], flat: Flat, state: dict[str, Tensor]) -> None:
        """Goes on with other members, whose velocities are those of `state`."""
        self._flat, self.state = flat, state
        self._nesterov = specs[0].nesterov
        self._rate = flat.spread([spec.lr for spec in specs])
        self._decay = flat.spread([spec.weight_decay for spec in specs])
        self._momentum = flat.spread([spec.momentum for spec in specs])

    def step(self, gradient: Tensor, *, factor: float) -> None:
        """Moves the vector against its gradient (P,); `factor` is the schedule's."""
        velocity = self.state["velocity"]
        slope = gradient + self._decay * self._flat.vector
        velocity.mul_(self._momentum).add_(slope)
        direction = slope + self._momentum * velocity if self._nesterov else velocity
        self._flat.vector.sub_(factor * self._rate * direction)


class AdamW:
    """Adam with decoupled weight decay (Loshchilov and Hutter 2019): `torch.optim.AdamW` a member."""

    def __init__(self, specs: Sequence[TrialSpec], flat: Flat) -> None:
        """Starts with moments of zero."""
        self._steps = 0
        self.go_on(specs, flat, {name: torch.zeros_like(flat.vector) for name in ("mean", "square")})

    def go_on(self, specs: Sequence[TrialSpec], flat: Flat, state: dict[str, Tensor]) -> None:
        """Goes on with other members, whose moments are those of `state`."""
        self._flat, self.state = flat, state
        self._rate = flat.spread([spec.lr for spec in specs])
        self._rate_decay = flat.spread([spec.lr * spec.weight_decay for spec in specs])

    def step(self, gradient: Tensor, *, factor: float) -> None:
        """Moves the vector against its gradient (P,); `factor` is the schedule's."""
        self._steps += 1
        first, second = (1 - beta**self._steps for beta in _BETAS)
        vector, mean, square = self._flat.vector, self.state["mean"], self.state["square"]
        vector.mul_(1 - factor * self._rate_decay)
        mean.lerp_(gradient, 1 - _BETAS[0])
        square.mul_(_BETAS[1]).addcmul_(gradient, gradient, value=1 - _BETAS[1])
        scale = (square.sqrt() / math.sqrt(second)).add_(_EPS)
        vector.sub_(factor * self._rate / first * mean / scale)


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
