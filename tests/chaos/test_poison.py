"""Trials that diverge, raise or lack their metric, under every sampler: they fail with their reason, and no others."""

from typing import get_args

import pytest

from sweep.spec import Sampler

from .actor import Poison
from .conftest import Note
from .plant import Plant

pytestmark = pytest.mark.chaos
POISON = {
    "epochs": 5, "optimizer": "sgd", "momentum": 0.0, "nesterov": False, "weight_decay": 1.0, "batch_size": 8,
    "schedule": "constant",
}  # fmt: skip
"""A step multiplies the weights by 1 - lr: beyond a learning rate of 2 they grow without bounds."""
_SEED = 21
"""The first two points of every sampler are a poisoned and a wholesome one."""


def test_poisoned_trials_fail_with_their_reason_and_no_other(plant: Plant, note: Note) -> None:
    sweeps = {}
    for sampler in get_args(Sampler):
        rates = [0.01, 10.0, 0.02, 9.0] if sampler == "grid" else {"low": 0.01, "high": 5.0}
        fields = {"alpha": 0.1 if sampler == "grid" else {"low": 0.01, "high": 1.0}, "search": {"lr": rates}}
        trials = {} if sampler == "grid" else {"trials": 8}
        sweeps[sampler] = plant.submit(sampler=sampler, training=POISON, seed=_SEED, **fields, **trials)
    for _ in range(2):
        plant.worker()
    plant.await_end(list(sweeps.values()), within_s=150)
    for sampler, sweep in sweeps.items():
        slots = plant.slots(sweep)
        assert {slot.state for slot in slots} == {"complete", "failed"}, sampler
        for slot in slots:
            assert slot.last is not None
            assert slot.state == "complete" or "finite" in str(slot.last.reason), slot.last.reason
            if float(slot.params["lr"]) < 1:
                assert slot.state == "complete", (sampler, slot.params, slot.last.reason)
    assert note(*sweeps.values()).lost_attempts == 0


@pytest.mark.parametrize(("poison", "reason"), [("exception", "RuntimeError: It is poisoned."), ("metric", "KeyError")])
def test_trials_that_raise_or_lack_their_metric_fail_alone(
    poison: Poison, reason: str, plant: Plant, note: Note
) -> None:
    alpha = {"low": 0.01, "high": 1.0}
    fields = {name: {"alpha": alpha, "trials": 4} for name in get_args(Sampler)} | {"grid": {"alpha": [0.1, 0.2, 0.3]}}
    sweeps = [plant.submit(sampler=sampler, **fields[sampler]) for sampler in get_args(Sampler)]
    for _ in range(2):
        plant.worker(poison=poison)
    plant.await_end(sweeps, within_s=150)
    for slot in (slot for sweep in sweeps for slot in plant.slots(sweep)):
        assert slot.last is not None
        assert slot.state == ("failed" if slot.number % 2 else "complete"), slot
        assert slot.state == "complete" or str(slot.last.reason).startswith(reason)
    assert note(*sweeps).lost_attempts == 0
