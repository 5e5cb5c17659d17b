"""Turns pydantic's errors into what a user reads: the field, the problem, what was expected."""

import difflib
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, get_args

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from .errors import FieldProblem, InvalidSweep
from .imbalance import Profile
from .space import UNION_TAGS, Range
from .spec import Imbalance, SweepSpec, Training, Validation

_SECTIONS: Mapping[str, type[BaseModel]] = {
    "": SweepSpec,
    "imbalance": Imbalance,
    "training": Training,
    "validation": Validation,
    "alpha": Range,
    "search": Range,
}

_NO_KEYS = UNION_TAGS | {"body", "params", "int", "float", "str"}
"""What pydantic adds to an error's place, and no body has."""
_REQUIRED = {
    "body": 'an object, such as {"dataset": "digits", "imbalance": {"profile": "exponential", "ratios": [1, 10]}}',
    "dataset": 'the name of a data set, such as "digits"',
    "imbalance": 'an imbalance, such as {"profile": "exponential", "ratios": [1, 10]}',
    "profile": f"one of {', '.join(get_args(Profile))}",
    "low": "the lower end of the range, a number",
    "high": "the upper end of the range, a number",
}
"""What is expected where nothing is, by the field's own name."""
_EXPECTED = {
    "greater_than_equal": "a value of at least {ge}",
    "greater_than": "a value above {gt}",
    "less_than_equal": "a value of at most {le}",
    "less_than": "a value below {lt}",
    "literal_error": "one of {expected}",
    "too_short": "at least {min_length} item(s)",
    "too_long": "at most {max_length} item(s)",
    "string_too_short": "at least {min_length} character(s)",
    "string_too_long": "at most {max_length} characters",
    "string_pattern_mismatch": "no control characters",
    "float_type": "a number",
    "int_type": "a whole number",
    "int_from_float": "a whole number",
    "bool_type": "true or false",
    "string_type": "a string",
    "list_type": "a list",
    "dict_type": "an object",
    "model_type": "an object",
    "model_attributes_type": "an object",
    "finite_number": "a finite number",
    "json_invalid": "a body that is valid JSON",
}


def parse_sweep(body: bytes | str) -> SweepSpec:
    """The sweep that a JSON body asks for.

    Raises:
        InvalidSweep: with every wrong field.
    """
    try:
        return SweepSpec.model_validate_json(body)
    except ValidationError as error:
        raise InvalidSweep(field_problems(error.errors())) from error


def field_problems(errors: Iterable[ErrorDetails]) -> list[FieldProblem]:
    """One problem a wrong field, the places written as in the body (`alpha.low`, `imbalance.ratios[0]`)."""
    return [_field_problem(error) for error in errors]


def _field_problem(error: ErrorDetails) -> FieldProblem:
    context: dict[str, Any] = error.get("ctx") or {}
    field = _place(error["loc"], context.get("field", ""))
    if error["type"] == "extra_forbidden":
        return _unknown_key(field)
    problem = error["msg"] if error["msg"].endswith(".") else error["msg"] + "."
    if error["type"] == "missing":
        return FieldProblem(field=field, problem=problem, expected=_REQUIRED.get(field.split(".")[-1], "a value"))
    expected = _EXPECTED.get(error["type"], "{expected}" if "expected" in context else "a valid value")
    return FieldProblem(field=field, problem=problem, expected=expected.format_map(context))


def _place(loc: Sequence[str | int], inner: str) -> str:
    place = ""
    if len(loc) == 2 and loc[0] == "body" and isinstance(loc[1], int):  # where JSON breaks off
        return "body"
    for part in loc:
        if isinstance(part, int):
            place += f"[{part}]"
        elif part not in _NO_KEYS and not part.startswith(("literal[", "list[")):
            place += f".{part}" if place else part
    return ".".join(filter(None, (place, inner))) or "body"


def _unknown_key(field: str) -> FieldProblem:
    section, _, key = field.rpartition(".")
    known = list(_SECTIONS.get(section.split(".")[0], SweepSpec).model_fields)
    close = difflib.get_close_matches(key, known, n=1)
    hint = f"{close[0]} (did you mean that?), or one of " if close else "one of "
    return FieldProblem(field=field, problem=f"There is no key {key!r} here.", expected=hint + ", ".join(known))
