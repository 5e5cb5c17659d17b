"""What a loss, a model, a data set or the training takes: numbers with bounds, and choices among words."""

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, slots=True)
class Parameter:
    """One number that can be given, with its bounds."""

    name: str
    default: float
    low: float
    high: float
    description: str
    kind: Literal["float", "integer"] = "float"
    open_low: bool = False
    open_high: bool = False

    def admits(self, value: float) -> bool:
        """True where `value` lies within the bounds (and is whole, for an integer)."""
        above = value > self.low if self.open_low else value >= self.low
        below = value < self.high if self.open_high else value <= self.high
        return above and below and (self.kind == "float" or float(value).is_integer())

    @property
    def bounds(self) -> str:
        """The interval in words, as error messages show it."""
        noun = "a whole number" if self.kind == "integer" else "a number"
        left, right = "(" if self.open_low else "[", ")" if self.open_high else "]"
        return f"{noun} in {left}{self.low:g}, {self.high:g}{right}"


@dataclass(frozen=True, slots=True)
class Option:
    """One choice among words; it is fixed in a sweep, never searched."""

    name: str
    default: str
    choices: tuple[str, ...]
    description: str
