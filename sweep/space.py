"""The search space: what a parameter may be (fixed, choices or a range), and which parameters can be searched."""

from collections.abc import Mapping
from itertools import product
from math import prod
from typing import Annotated, Any, Self

import numpy as np
from pydantic import Discriminator, Field, Tag, model_validator
from pydantic_core import PydanticCustomError

from .losses import LOSSES
from .parameter import Parameter
from .strict import Strict


class Range(Strict):
    """An interval to search, both ends included; `steps` is the number of points where it is searched as a grid."""

    low: float
    high: float
    log: bool = False
    steps: Annotated[int, Field(ge=2, le=10_000)] | None = None

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.low > self.high:
            raise PydanticCustomError(
                "range_order", "low {low} is above high {high}.",
                {"low": self.low, "high": self.high, "expected": "low not above high"},
            )  # fmt: skip
        if self.log and self.low <= 0:
            raise PydanticCustomError(
                "range_log", "a logarithmic range cannot start at {low}.",
                {"low": self.low, "expected": "low above 0, or log false"},
            )  # fmt: skip
        return self


def _shape(value: object) -> str:
    if isinstance(value, list):
        return "choices"
    return "range" if isinstance(value, (dict, Range)) else "number"


UNION_TAGS = frozenset({"number", "choices", "range"})
"""What pydantic adds to an error's place for the union below; no part of the body."""

Choices = Annotated[list[float], Field(min_length=1, max_length=10_000)]
Searchable = Annotated[
    Annotated[float, Tag("number")] | Annotated[Choices, Tag("choices")] | Annotated[Range, Tag("range")],
    Discriminator(_shape),
]
Space = Mapping[str, float | list[float] | Range]

TRAINING_PARAMETERS = {
    parameter.name: parameter
    for parameter in (
        Parameter("lr", 0.002, 0.0, 10.0, "learning rate at the end of the warm-up", open_low=True),
        Parameter("weight_decay", 0.0, 0.0, 1.0, "decay of all weights, as the optimizer defines it"),
        Parameter("momentum", 0.9, 0.0, 1.0, "momentum of SGD", open_high=True),
        Parameter("batch_size", 64, 2, 65_536, "samples a step", kind="integer"),
    )
}


def parameter_for(name: str, loss: str) -> Parameter | None:
    """The parameter `name` as the training or `loss` defines it; None where neither takes it."""
    return TRAINING_PARAMETERS.get(name) or LOSSES[loss].parameter(name)


def is_searched(value: float | list[float] | Range) -> bool:
    """True where there is more than one value to try."""
    if isinstance(value, Range):
        return value.low < value.high
    return isinstance(value, list) and len(value) > 1


def grid_values(name: str, value: float | list[float] | Range) -> list[float]:
    """The values that a grid takes of the parameter `name`, whole ones where it is; a range needs its `steps`."""
    if isinstance(value, list):
        return value
    if not isinstance(value, Range):
        return [value]
    if not is_searched(value):
        return [value.low]
    assert value.steps is not None, "resolve() gives every range of a grid its steps"
    spaced: Any = np.geomspace if value.log else np.linspace
    values = [float(v) for v in spaced(value.low, value.high, value.steps)]
    is_whole = name in TRAINING_PARAMETERS and TRAINING_PARAMETERS[name].kind == "integer"
    return [round(v) for v in values] if is_whole else values


def grid_size(space: Space) -> int:
    """How many points the grid over `space` has."""
    return prod(len(grid_values(name, value)) for name, value in space.items())


def grid_points(space: Space) -> list[dict[str, float]]:
    """Every point of the grid, the last parameter running fastest."""
    values = [grid_values(name, value) for name, value in space.items()]
    return [dict(zip(space, point, strict=True)) for point in product(*values)]
