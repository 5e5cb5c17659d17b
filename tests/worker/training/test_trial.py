"""A trial's words and numbers, refused where it is made."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from worker.training.trial import TrialSpec


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"optimizer": "rmsprop"}, "Expected optimizer among sgd, adamw, got 'rmsprop'. Name one of these."),
        ({"schedule": "x"}, "Expected schedule among constant, step, cosine, got 'x'."),
        ({"precision": "float16"}, "Expected precision among float32, tf32, bfloat16, float64, got 'float16'."),
        ({"batch_size": 0}, "Expected batch_size to be a whole number above 0, got 0. Give one."),
        ({"batch_size": 2.5}, "Expected batch_size to be a whole number above 0, got 2.5."),
        ({"epochs": -1}, "Expected epochs to be a whole number above 0, got -1."),
    ],
)
def test_what_the_trainer_does_not_know_is_refused_by_the_fields_name(
    given: dict[str, Any], said: str, plain: TrialSpec
) -> None:
    with pytest.raises(ValueError, match=said):
        replace(plain, **given)


def test_whole_numbers_may_be_numpys(plain: TrialSpec) -> None:
    assert replace(plain, batch_size=np.int64(4)).batch_size == 4  # type: ignore[arg-type]
