"""What a sweep chooses by name, with the numbers it fixes: its loss and baselines, its model, its data set.

In JSON a choice is its name alone, or one flat object: `"focal"`, `{"name": "focal", "gamma": 1}`.
"""

from collections.abc import Mapping, Sequence
from typing import Annotated, Self

from pydantic import Field, GetJsonSchemaHandler, model_serializer, model_validator
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema

from .datasets.builtin import OPTIONS
from .losses import LOSSES
from .models import MODELS
from .parameter import Option, Parameter
from .strict import Strict, refusal


class Choice(Strict):
    """A name and what is fixed with it; in JSON the name alone where nothing is."""

    name: Annotated[str, Field(min_length=1, max_length=64)]
    params: dict[str, int | float | str] = {}

    @model_validator(mode="before")
    @classmethod
    def _from_json(cls, value: object) -> object:
        if isinstance(value, str):
            return {"name": value}
        if isinstance(value, Mapping) and "params" not in value:
            return {"name": value.get("name"), "params": {k: v for k, v in value.items() if k != "name"}}
        if not isinstance(value, Mapping | Choice):
            raise refusal(f"{value!r} is no name.", "a name, or an object with a name")
        return value

    @model_serializer
    def _to_json(self) -> str | dict[str, int | float | str]:
        return {"name": self.name, **self.params} if self.params else self.name

    @classmethod
    def __get_pydantic_json_schema__(cls, _core: CoreSchema, _handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        """What OpenAPI shows: the name, or the flat object."""
        name = {"type": "string", "minLength": 1, "maxLength": 64}
        flat = {"type": "object", "properties": {"name": name}, "required": ["name"]}
        return {"anyOf": [name, flat | {"additionalProperties": {"type": ["number", "string"]}}]}


class LossChoice(Choice):
    """A loss with its fixed numbers and options."""

    @model_validator(mode="after")
    def _known(self) -> Self:
        _check_name(self.name, LOSSES, "loss")
        row = LOSSES[self.name]
        if "alpha" in self.params and row.has_importance:
            raise refusal("alpha stands inside the loss.", 'alpha as a field of the sweep, such as "alpha": 0.01')
        fixed = [parameter for parameter in row.parameters if parameter.name != "alpha"]
        _check_params(self, fixed, row.options)
        return self

    @model_serializer
    def _to_json(self) -> str | dict[str, int | float | str]:
        return {"name": self.name, **self.params}


class ModelChoice(Choice):
    """A model with its width and depth, or `auto`."""

    @model_validator(mode="after")
    def _known(self) -> Self:
        _check_name(self.name, ("auto", *MODELS), "model")
        _check_params(self, () if self.name == "auto" else MODELS[self.name].parameters)
        return self


class DatasetChoice(Choice):
    """A data set by name; one that is made to order has options."""

    @model_validator(mode="after")
    def _known(self) -> Self:
        _check_params(self, OPTIONS.get(self.name, ()))
        return self


def _check_name(name: str, known: Mapping[str, object] | Sequence[str], what: str) -> None:
    if name not in known:
        raise refusal(f"no {what} is called {name!r}.", f"one of {', '.join(known)}")


def _check_params(choice: Choice, parameters: Sequence[Parameter], options: Sequence[Option] = ()) -> None:
    choices = {option.name: option.choices for option in options}
    bounds = {parameter.name: parameter for parameter in parameters}
    for name, value in choice.params.items():
        if name in choices:
            if value not in choices[name]:
                raise refusal(f"{name} {value!r} is not known.", f"one of {', '.join(choices[name])}")
        elif name not in bounds:
            expected = f"only {', '.join([*bounds, *choices]) or 'its name'}"
            raise refusal(f"{choice.name} takes no {name!r}.", expected)
        elif isinstance(value, str) or not bounds[name].admits(value):
            raise refusal(f"{name} {value!r} is out of bounds.", bounds[name].bounds)
