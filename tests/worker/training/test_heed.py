"""Somebody who wants something else is heard between two steps, not only between epochs."""

from dataclasses import replace

import numpy as np
import pytest

from worker.training.data import DeviceData
from worker.training.trainer import Training
from worker.training.trial import Member, TrialSpec


class Enough(Exception):
    """Raised by whoever has waited long enough."""


def test_every_step_and_every_batch_of_an_evaluation_asks_first(plain: TrialSpec, images: DeviceData) -> None:
    asked: list[int] = []
    member = Member(replace(plain, model="mlp", batch_size=8), 1, np.arange(32), np.arange(32, 40))
    training = Training([member], images, heed=lambda: asked.append(1))
    training.run_epoch()
    assert len(asked) == 4 + 1  # steps, and one batch of validation
    training.test([0])
    assert len(asked) == 6


@pytest.mark.parametrize("width", [1, 3])
def test_what_it_raises_ends_the_epoch_at_hand(width: int, plain: TrialSpec, images: DeviceData) -> None:
    steps = 0

    def heed() -> None:
        nonlocal steps
        steps += 1
        if steps == 3:
            raise Enough

    many = [
        Member(replace(plain, model="mlp", batch_size=4), seed, np.arange(32), np.arange(32, 40)) for seed in (1, 2)
    ]
    training = Training(many, images, width=width, heed=heed)
    with pytest.raises(Enough):
        training.run_epoch()
    assert steps == 3
