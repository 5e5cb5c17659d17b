"""Learning rates by step, and optimizers as the trial asks for them."""

from dataclasses import replace

import pytest
import torch
from torch import nn

from worker.training.optimization import build_optimizer, learning_rates
from worker.training.trial import TrialSpec


def all_rates(spec: TrialSpec, *, steps: int) -> list[float]:
    """The rates of every step of a trial."""
    return [rate for at in range(spec.epochs) for rate in learning_rates(spec, epoch=at + 1, steps=steps)]


def test_a_constant_schedule_keeps_the_learning_rate(plain: TrialSpec) -> None:
    assert all_rates(plain, steps=4) == [0.1] * 12


def test_warmup_rises_linearly_and_ends_at_the_learning_rate(plain: TrialSpec) -> None:
    rates = all_rates(replace(plain, warmup_epochs=2), steps=2)
    assert rates == pytest.approx([0.025, 0.05, 0.075, 0.1, 0.1, 0.1])


def test_the_step_schedule_of_protocol_a_falls_after_epochs_160_and_180(plain: TrialSpec) -> None:
    spec = replace(plain, schedule="step", epochs=200, warmup_epochs=5)
    ends = [learning_rates(spec, epoch=epoch, steps=97)[-1] for epoch in (5, 160, 180, 200)]
    starts = [learning_rates(spec, epoch=epoch, steps=97)[0] for epoch in (6, 161, 181)]
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


def test_sgd_follows_nesterov_momentum_with_weight_decay(plain: TrialSpec) -> None:
    spec = replace(plain, lr=0.5, momentum=0.9, nesterov=True, weight_decay=0.1)
    weight = nn.Parameter(torch.tensor([2.0]))
    optimizer = build_optimizer(spec, [weight])
    by_hand, velocity = 2.0, 0.0
    for _ in range(3):
        weight.grad = torch.tensor([1.0])
        optimizer.step()
        gradient = 1.0 + 0.1 * by_hand
        velocity = 0.9 * velocity + gradient
        by_hand -= 0.5 * (gradient + 0.9 * velocity)
    assert weight.item() == pytest.approx(by_hand, rel=1e-5)


def test_adamw_decays_the_weights_themselves(plain: TrialSpec) -> None:
    weight = nn.Parameter(torch.tensor([2.0]))
    optimizer = build_optimizer(replace(plain, optimizer="adamw", weight_decay=0.2), [weight])
    weight.grad = torch.tensor([3.0])
    optimizer.step()
    assert weight.item() == pytest.approx(2.0 * (1 - 0.1 * 0.2) - 0.1, rel=1e-5)


def test_an_unknown_optimizer_is_refused_with_the_known_ones(plain: TrialSpec) -> None:
    unknown = replace(plain, optimizer="lion")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="among sgd, adamw, got 'lion'"):
        build_optimizer(unknown, [nn.Parameter(torch.zeros(1))])
