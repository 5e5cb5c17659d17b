"""The base of all request models, and the error that they raise with its remedy."""

from typing import Any

from pydantic import BaseModel, ConfigDict
from pydantic_core import PydanticCustomError


class Strict(BaseModel):
    """Base of all request models: unknown keys, coercions and non-finite numbers are refused."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, allow_inf_nan=False)


def refusal(problem: str, expected: str, *field: str) -> PydanticCustomError:
    """A validation error with its remedy; `field` adds to the place that pydantic knows already."""
    context: dict[str, Any] = {"problem": problem, "expected": expected, "field": ".".join(field)}
    return PydanticCustomError("sweep", "{problem}", context)
