"""How members' weights are moved: all parameters of a stack in one matrix, and the optimizers on it.

A parameter that has no part in a loss has a gradient of 0 here, so that it decays and its momentum carries it on; in
`torch.optim` one whose gradient is None stands still.

Shapes: K members, P parameters of each, S steps of an epoch. What differs between members is a tensor (K, 1) even where
it happens not to differ, so that a member's numbers are the same in any company.
"""

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence

import torch
from torch import Tensor, nn

from .trial import TrialSpec

_BETAS, _EPS = (0.9, 0.999), 1e-8
"""AdamW's, as torch has them."""
Rates = tuple[Tensor, ...]
"""What an optimizer multiplies by at one step, each (K, 1)."""


class Flat:
    """A stack's parameters, each (K, …), as one matrix whose parts they are views of."""

    def __init__(self, parameters: Iterable[nn.Parameter], values_KP: Tensor | None = None) -> None:
        """Moves the parameters' values into the matrix, or makes them parts of one that there is."""
        self._parameters = list(parameters)
        if values_KP is None:
            values_KP = torch.cat([one.detach().reshape(len(one), -1) for one in self._parameters], dim=1)
        self.values_KP = values_KP
        shapes = [parameter.shape[1:] for parameter in self._parameters]
        parts = torch.split(values_KP, [shape.numel() for shape in shapes], dim=1)
        for parameter, shape, part_KP in zip(self._parameters, shapes, parts, strict=True):
            parameter.data = part_KP.view(-1, *shape)

    def gradient(self, loss: Tensor) -> Tensor:
        """The gradient (K, P) of a 0-d loss; 0 where a parameter had no part in it."""
        gradients = torch.autograd.grad(loss, self._parameters, materialize_grads=True)
        return torch.cat([gradient.reshape(len(gradient), -1) for gradient in gradients], dim=1)


class Sgd:
    """Stochastic gradient descent with momentum, Nesterov's or plain, and weight decay: `torch.optim.SGD` a member."""

    vectors = ("momentum_buffer",)
    """What is kept of every parameter, 0 at first; as torch names it."""

    def __init__(self, specs: Sequence[TrialSpec], state: Mapping[str, Tensor]) -> None:
        """Moves on from a state: the vectors (K, P)."""
        self._state, self._nesterov = state, specs[0].nesterov
        self._rate_K = _column([spec.lr for spec in specs])
        self._fixed = [_column([spec.weight_decay for spec in specs]), _column([spec.momentum for spec in specs])]

    def rates(self, factors_SK: Tensor, *, done_K: Tensor, like: Tensor) -> Iterator[Rates]:
        """What each step of an epoch multiplies by: the schedule's factors (float64) worked in, as `like`."""
        decay_K1, momentum_K1 = (_as(like, column) for column in self._fixed)
        rate_SK1 = _as(like, factors_SK[:, :, None] * self._rate_K)
        return ((rate_K1, decay_K1, momentum_K1) for rate_K1 in rate_SK1)

    def step(self, values_KP: Tensor, gradient_KP: Tensor, rates: Rates) -> None:
        """Moves the values against their gradient, which is written over."""
        rate_K1, decay_K1, momentum_K1 = rates
        buffer_KP = self._state["momentum_buffer"]
        slope_KP = gradient_KP.add_(decay_K1 * values_KP)
        buffer_KP.mul_(momentum_K1).add_(slope_KP)
        direction_KP = slope_KP.add_(momentum_K1 * buffer_KP) if self._nesterov else buffer_KP
        values_KP.sub_(rate_K1 * direction_KP)


class AdamW:
    """Adam with decoupled weight decay (Loshchilov and Hutter 2019): `torch.optim.AdamW` a member."""

    vectors = ("exp_avg", "exp_avg_sq")
    """What is kept of every parameter, 0 at first; as torch names it."""

    def __init__(self, specs: Sequence[TrialSpec], state: Mapping[str, Tensor]) -> None:
        """Moves on from a state: the vectors (K, P)."""
        self._state = state
        self._rate_K = _column([spec.lr for spec in specs])
        self._decay_K = _column([spec.weight_decay for spec in specs])

    def rates(self, factors_SK: Tensor, *, done_K: Tensor, like: Tensor) -> Iterator[Rates]:
        """What each step of an epoch multiplies by: the schedule's factors (float64) worked in, as `like`.

        The moments, which are 0 at first, are corrected for it by the steps that they have seen, `done_K` before these.
        """
        steps_SK1 = (done_K + torch.arange(1, len(factors_SK) + 1)[:, None])[:, :, None].double()
        first_SK1, second_SK1 = (1 - beta**steps_SK1 for beta in _BETAS)
        rate_SK1 = factors_SK[:, :, None] * self._rate_K
        columns = (1 - rate_SK1 * self._decay_K, second_SK1.sqrt(), rate_SK1 / first_SK1)
        return zip(*(_as(like, column) for column in columns), strict=True)

    def step(self, values_KP: Tensor, gradient_KP: Tensor, rates: Rates) -> None:
        """Moves the values against their gradient, which is written over."""
        shrink_K1, root_K1, rate_K1 = rates
        exp_avg_KP, exp_avg_sq_KP = self._state["exp_avg"], self._state["exp_avg_sq"]
        values_KP.mul_(shrink_K1)
        exp_avg_KP.lerp_(gradient_KP, 1 - _BETAS[0])
        exp_avg_sq_KP.mul_(_BETAS[1]).addcmul_(gradient_KP, gradient_KP, value=1 - _BETAS[1])
        # In the gradient's memory: at many members every further array costs more than its arithmetic.
        scale_KP = torch.sqrt(exp_avg_sq_KP, out=gradient_KP).div_(root_K1).add_(_EPS)
        values_KP.addcmul_(torch.div(exp_avg_KP, scale_KP, out=scale_KP), rate_K1, value=-1)


def _as(like: Tensor, column: Tensor) -> Tensor:
    return column.to(like.device, like.dtype, non_blocking=True)


def _column(values: Sequence[float]) -> Tensor:
    """One value a member (K, 1), float64 and on the CPU until a step needs it."""
    return torch.tensor(values, dtype=torch.float64)[:, None]


OPTIMIZERS: Mapping[str, type[Sgd] | type[AdamW]] = {"sgd": Sgd, "adamw": AdamW}


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
