"""Learning rates by step, and optimizers as the trial asks for them."""

from collections.abc import Sequence
from dataclasses import replace

import pytest
import torch
from torch import nn

from worker.training.optimization import OPTIMIZERS, Flat, schedule_factors
from worker.training.trial import TrialSpec


def all_rates(spec: TrialSpec, *, steps: int) -> list[float]:
    """The rates of every step of a trial."""
    factors = [factor for at in range(spec.epochs) for factor in schedule_factors(spec, epoch=at + 1, steps=steps)]
    return [spec.lr * factor for factor in factors]


def test_a_constant_schedule_keeps_the_learning_rate(plain: TrialSpec) -> None:
    assert all_rates(plain, steps=4) == [0.1] * 12


def test_warmup_rises_linearly_and_ends_at_the_learning_rate(plain: TrialSpec) -> None:
    rates = all_rates(replace(plain, warmup_epochs=2), steps=2)
    assert rates == pytest.approx([0.025, 0.05, 0.075, 0.1, 0.1, 0.1])


def test_the_step_schedule_of_protocol_a_falls_after_epochs_160_and_180(plain: TrialSpec) -> None:
    spec = replace(plain, schedule="step", epochs=200, warmup_epochs=5)
    ends = [0.1 * schedule_factors(spec, epoch=epoch, steps=97)[-1] for epoch in (5, 160, 180, 200)]
    starts = [0.1 * schedule_factors(spec, epoch=epoch, steps=97)[0] for epoch in (6, 161, 181)]
    assert ends == pytest.approx([0.1, 0.1, 1e-3, 1e-5])
    assert starts == pytest.approx([0.1, 1e-3, 1e-5])


def test_a_milestone_falls_on_its_step_though_its_fraction_is_inexact(plain: TrialSpec) -> None:
    spec = replace(plain, schedule="step", epochs=10, step_milestones=(0.7,), step_factor=0.1)
    assert all_rates(spec, steps=1) == pytest.approx([0.1] * 7 + [0.01] * 3)


def test_cosine_falls_from_the_learning_rate_towards_zero(plain: TrialSpec) -> None:
    rates = all_rates(replace(plain, schedule="cosine", epochs=2), steps=2)
    assert rates == pytest.approx([0.1, 0.1 * (2 + 2**0.5) / 4, 0.05, 0.1 * (2 - 2**0.5) / 4])


def test_cosine_starts_after_the_warmup(plain: TrialSpec) -> None:
    rates = all_rates(replace(plain, schedule="cosine", epochs=3, warmup_epochs=1), steps=2)
    assert rates[1:4] == pytest.approx([0.1, 0.1, 0.1 * (2 + 2**0.5) / 4])


def moved(specs: Sequence[TrialSpec], *, weight: float, gradients: Sequence[float]) -> list[float]:
    """Where steps against these gradients bring the lone weight of each member."""
    weights = nn.Parameter(torch.full((len(specs), 1), weight, dtype=torch.float64))
    flat, kind = Flat([weights]), OPTIMIZERS[specs[0].optimizer]
    state = {name: torch.zeros_like(flat.values_KP) for name in kind.vectors}
    factors_SK = torch.ones(1, len(specs), dtype=torch.float64)
    for done, gradient in enumerate(gradients):
        optimizer = kind(specs, state)  # made anew: all that it knows of the past is in the state
        done_K = torch.tensor([done] * len(specs))
        (rates,) = optimizer.rates(factors_SK, done_K=done_K, like=flat.values_KP)
        optimizer.step(flat.values_KP, torch.full((len(specs), 1), gradient, dtype=torch.float64), rates)
    found: list[float] = weights.flatten().tolist()
    return found


@pytest.mark.parametrize("nesterov", [True, False])
def test_sgd_is_torchs_for_each_member(nesterov: bool, plain: TrialSpec) -> None:
    specs = [
        replace(plain, lr=lr, momentum=momentum, nesterov=nesterov, weight_decay=decay)
        for lr, momentum, decay in ((0.5, 0.9, 0.1), (0.1, 0.5, 0.0), (0.5, 0.9, 0.3))
    ]
    for chosen in (specs, specs[:1]):
        expected = []
        for spec in chosen:
            weight = nn.Parameter(torch.tensor([2.0], dtype=torch.float64))
            torchs = torch.optim.SGD(
                [weight], lr=spec.lr, momentum=spec.momentum, nesterov=nesterov, weight_decay=spec.weight_decay
            )
            for gradient in (1.0, -3.0, 0.5):
                weight.grad = torch.tensor([gradient], dtype=torch.float64)
                torchs.step()
            expected.append(weight.item())
            assert set(OPTIMIZERS["sgd"].vectors) <= set(torchs.state[weight])
        assert moved(chosen, weight=2.0, gradients=(1.0, -3.0, 0.5)) == pytest.approx(expected, rel=1e-12)


def test_adamw_is_torchs_for_each_member(plain: TrialSpec) -> None:
    specs = [replace(plain, optimizer="adamw", lr=lr, weight_decay=decay) for lr, decay in ((0.1, 0.2), (0.01, 0.0))]
    expected = []
    for spec in specs:
        weight = nn.Parameter(torch.tensor([2.0], dtype=torch.float64))
        torchs = torch.optim.AdamW([weight], lr=spec.lr, weight_decay=spec.weight_decay)
        for gradient in (3.0, -1.0, 0.0, 2.0):
            weight.grad = torch.tensor([gradient], dtype=torch.float64)
            torchs.step()
        expected.append(weight.item())
        assert set(OPTIMIZERS["adamw"].vectors) <= set(torchs.state[weight])
    assert moved(specs, weight=2.0, gradients=(3.0, -1.0, 0.0, 2.0)) == pytest.approx(expected, rel=1e-12)
