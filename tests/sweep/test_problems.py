"""What a body may not say, and how the answer names it."""

import json

import pytest

from sweep.errors import FieldProblem, InvalidSweep
from sweep.problems import parse_sweep

BODY = {"dataset": "digits", "imbalance": {"profile": "exponential", "ratios": [1, 10]}}


def problems(body: str) -> tuple[FieldProblem, ...]:
    with pytest.raises(InvalidSweep) as caught:
        parse_sweep(body)
    return caught.value.problems


def problem(**fields: object) -> FieldProblem:
    (only,) = problems(json.dumps({**BODY, **fields}))
    return only


@pytest.mark.parametrize(
    ("fields", "field", "key", "hint"),
    [
        ({"alfa": 0.1}, "alfa", "alfa", "alpha"),
        ({"training": {"epoch": 3}}, "training.epoch", "epoch", "epochs"),
        ({"imbalance": {"profile": "exponential", "ratio": [1]}}, "imbalance.ratio", "ratio", "ratios"),
        ({"alpha": {"low": 0.1, "hihg": 1, "high": 1}}, "alpha.hihg", "hihg", "high"),
        ({"search": {"lr": {"low": 0.1, "high": 1, "logg": True}}}, "search.lr.logg", "logg", "log"),
        ({"validation": {"per_clas": 3}}, "validation.per_clas", "per_clas", "per_class"),
    ],
)
def test_an_unknown_key_is_refused_with_the_nearest_known_one(
    fields: dict[str, object], field: str, key: str, hint: str
) -> None:
    found = problem(**fields)
    assert found.field == field
    assert found.problem == f"There is no key {key!r} here."
    assert found.expected.startswith(f"{hint} (did you mean that?)")


def test_an_unknown_key_unlike_any_other_is_answered_with_all_there_are() -> None:
    found = problem(imbalance={"profile": "natural", "zzz": 1})
    assert (found.field, found.expected) == ("imbalance.zzz", "one of profile, ratios, n_max, minority, counts")


@pytest.mark.parametrize(
    ("fields", "field", "expected"),
    [
        ({"trials": "8"}, "trials", "a whole number"),
        ({"trials": 8.5}, "trials", "a whole number"),
        ({"trials": True}, "trials", "a whole number"),
        ({"trials": 0}, "trials", "a value of at least 1"),
        ({"trials": 10_001}, "trials", "a value of at most 10000"),
        ({"alpha": "0.1"}, "alpha", "a number"),
        ({"alpha": True}, "alpha", "a number"),
        ({"alpha": []}, "alpha", "at least 1 item(s)"),
        ({"alpha": [0.1, "0.2"]}, "alpha[1]", "a number"),
        ({"alpha": float("nan")}, "alpha", "a finite number"),
        ({"alpha": float("inf")}, "alpha", "a finite number"),
        ({"alpha": [0.1, float("nan")]}, "alpha[1]", "a finite number"),
        ({"alpha": {"low": float("nan"), "high": 1}}, "alpha.low", "a finite number"),
        ({"alpha": {"low": 0.1}}, "alpha.high", "the upper end of the range, a number"),
        ({"alpha": {"low": 0.1, "high": 1, "log": "yes"}}, "alpha.log", "true or false"),
        ({"imbalance": {"profile": "exponential", "ratios": ["10"]}}, "imbalance.ratios[0]", "a number"),
        ({"imbalance": {"profile": "exponential", "ratios": [1, 0.5]}}, "imbalance.ratios[1]", "a value of at least"),
        ({"imbalance": {"profile": "exponential", "ratios": []}}, "imbalance.ratios", "at least 1 item(s)"),
        ({"imbalance": 3}, "imbalance", "an object"),
        ({"imbalance": {"ratios": [1]}}, "imbalance.profile", "one of exponential, step, linear, counts, natural"),
        ({"training": {"lr": 0}}, "training.lr", "a value above 0"),
        ({"training": {"optimizer": "adam"}}, "training.optimizer", "one of 'sgd' or 'adamw'"),
        ({"training": {"momentum": 1}}, "training.momentum", "a value below 1"),
        ({"dataset": ""}, "dataset.name", "at least 1 character(s)"),
        ({"dataset": 3}, "dataset", "a name, or an object"),
        ({"name": "x" * 121}, "name", "at most 120 characters"),
        ({"sampler": "best"}, "sampler", "one of 'tpe', 'random', 'grid', 'qmc', 'cmaes' or 'gp'"),
        ({"seed": -1}, "seed", "a value of at least 0"),
        ({"replicates": 0}, "replicates", "a value of at least 1"),
    ],
)  # fmt: skip
def test_a_value_of_the_wrong_kind_or_size_is_refused(fields: dict[str, object], field: str, expected: str) -> None:
    found = problem(**fields)
    assert found.field == field
    assert found.expected.startswith(expected)
    assert found.problem.endswith(".")


def test_what_is_missing_is_shown_by_an_example() -> None:
    dataset, imbalance = problems("{}")
    assert (dataset.field, dataset.expected) == ("dataset", 'the name of a data set, such as "digits"')
    words, _, example = imbalance.expected.partition(", such as ")
    assert (imbalance.field, words) == ("imbalance", "an imbalance")
    parse_sweep(json.dumps({**BODY, "imbalance": json.loads(example)}))


def test_every_wrong_field_is_told_at_once() -> None:
    body = json.dumps({"imbalance": {"profile": "exponential", "ratios": [0]}, "alpha": "x", "trials": -1})
    assert {one.field for one in problems(body)} == {"dataset", "imbalance.ratios[0]", "alpha", "trials"}


@pytest.mark.parametrize(
    ("body", "expected"),
    [("", "a body that is valid JSON"), ("{", "a body that is valid JSON"), ("[]", "an object"), ("3", "an object")],
)
def test_a_body_that_is_no_object_is_refused(body: str, expected: str) -> None:
    (only,) = problems(body)
    assert (only.field, only.expected) == ("body", expected)


def test_the_error_says_all_of_it_in_one_message() -> None:
    with pytest.raises(InvalidSweep, match=r"trials: .* Expected a whole number\.") as caught:
        parse_sweep(json.dumps({**BODY, "trials": "8"}))
    assert caught.value.status == 422
