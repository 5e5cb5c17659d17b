"""A sweep as submitted: what its fields forbid together, and what each loss may search."""

import json

import pytest

from sweep.errors import FieldProblem, InvalidSweep
from sweep.losses import LOSSES
from sweep.problems import parse_sweep
from sweep.space import Range
from sweep.spec import DEFAULT_ALPHA, SweepSpec

BODY = {"dataset": "digits", "imbalance": {"profile": "exponential", "ratios": [1, 10]}}


def parse(**fields: object) -> SweepSpec:
    return parse_sweep(json.dumps({**BODY, **fields}))


def problem(**fields: object) -> FieldProblem:
    with pytest.raises(InvalidSweep) as caught:
        parse(**fields)
    (only,) = caught.value.problems
    return only


@pytest.mark.parametrize(
    ("alpha", "said", "expected"),
    [
        (1.5, "alpha 1.5 is out of bounds.", "a number in [0, 1]"),
        (-0.1, "alpha -0.1 is out of bounds.", "a number in [0, 1]"),
        ([0, 1.1], "alpha 1.1 is out of bounds.", "a number in [0, 1]"),
        ({"low": 0, "high": 2}, "alpha 2 is out of bounds.", "a number in [0, 1]"),
        ({"low": -1, "high": 1}, "alpha -1 is out of bounds.", "a number in [0, 1]"),
        ([0.1, 0.2, 0.1], "alpha lists a value twice.", "each value once"),
        ({"low": 1, "high": 0.1}, "low 1.0 is above high 0.1.", "low not above high"),
        ({"low": 0, "high": 1, "log": True}, "a logarithmic range cannot start at 0.0.", "low above 0, or log false"),
    ],
)
def test_an_alpha_that_cannot_be_searched_is_refused(alpha: object, said: str, expected: str) -> None:
    assert problem(alpha=alpha) == FieldProblem("alpha", said, expected)


@pytest.mark.parametrize("alpha", [0, 1, [0, 1], {"low": 0, "high": 1}, {"low": 1e-9, "high": 1, "log": True}])
def test_the_bounds_of_alpha_belong_to_it(alpha: object) -> None:
    assert parse(alpha=alpha).alpha is not None


@pytest.mark.parametrize(
    ("search", "field", "said"),
    [
        ({"lr": 0}, "search.lr", "lr 0 is out of bounds."),
        ({"lr": [0.1, 0.1]}, "search.lr", "lr lists a value twice."),
        ({"lr": {"low": 0.1, "high": 0.01}}, "search.lr", "low 0.1 is above high 0.01."),
        ({"batch_size": 16.5}, "search.batch_size", "batch_size 16.5 is out of bounds."),
        ({"momentum": 1}, "search.momentum", "momentum 1 is out of bounds."),
        ({"gamma": 1}, "search.gamma", "none of adaptive takes a parameter 'gamma'."),
        ({"alpha": 0.1}, "search.alpha", "none of adaptive takes a parameter 'alpha'."),
        ({"epochs": 3}, "search.epochs", "none of adaptive takes a parameter 'epochs'."),
    ],
)
def test_a_search_that_no_loss_can_take_is_refused(search: object, field: str, said: str) -> None:
    found = problem(search=search)
    assert (found.field, found.problem) == (field, said)


@pytest.mark.parametrize(
    ("imbalance", "said"),
    [
        ({"profile": "exponential"}, "profile exponential needs ratios."),
        ({"profile": "step", "ratios": [10, 10]}, "ratios [10.0, 10.0] repeat."),
        ({"profile": "natural", "ratios": [10]}, "profile natural has the ratio of its counts."),
        ({"profile": "counts"}, "profile counts needs counts."),
        ({"profile": "counts", "counts": {"0": 1}, "ratios": [1]}, "profile counts has the ratio of its counts."),
        ({"profile": "linear", "ratios": [2], "counts": {"0": 1}}, "profile linear takes no counts."),
        ({"profile": "natural", "n_max": 5}, "profile natural takes no n_max."),
    ],
)
def test_a_profile_takes_its_own_fields_alone(imbalance: object, said: str) -> None:
    found = problem(imbalance=imbalance)
    assert (found.field, found.problem) == ("imbalance", said)


@pytest.mark.parametrize(
    ("fields", "field", "said"),
    [
        ({"loss": "adaptiv"}, "loss", "no loss is called 'adaptiv'."),
        ({"loss": {"name": "adaptive", "alpha": 0.1}}, "loss", "alpha stands inside the loss."),
        ({"loss": {"name": "focal", "gamma": 11}}, "loss", "gamma 11 is out of bounds."),
        ({"loss": {"name": "weighted", "reduction": "sum"}}, "loss", "reduction 'sum' is not known."),
        ({"loss": {"name": "focal", "beta": 1}}, "loss", "focal takes no 'beta'."),
        ({"loss": "focal", "alpha": 0.1}, "alpha", "focal has no alpha."),
        ({"baselines": ["focal", "focal"]}, "baselines", "focal stands twice among loss and baselines."),
        ({"baselines": ["adaptive"]}, "baselines", "adaptive stands twice among loss and baselines."),
        ({"baselines": ["focl"]}, "baselines[0]", "no loss is called 'focl'."),
        ({"training": {"warmup_epochs": 31}}, "training", "warmup_epochs 31 exceed epochs 30."),
        ({"training": {"optimizer": "sgd", "momentum": 0}}, "training", "Nesterov needs momentum, got momentum 0."),
    ],
)
def test_losses_and_training_that_cannot_be_are_refused(fields: dict[str, object], field: str, said: str) -> None:
    found = problem(**fields)
    assert (found.field, found.problem) == (field, said)


def test_a_loss_is_a_name_or_one_flat_object() -> None:
    spec = parse(loss={"name": "focal", "gamma": 1}, baselines=["cross_entropy"])
    assert (spec.loss.name, spec.loss.params) == ("focal", {"gamma": 1.0})
    assert spec.model_dump(mode="json")["loss"] == {"name": "focal", "gamma": 1.0}
    assert spec.model_dump(mode="json")["baselines"] == [{"name": "cross_entropy"}]


def test_a_spec_that_is_written_and_read_again_is_the_same() -> None:
    spec = parse(
        alpha={"low": 0.01, "high": 1, "log": True, "steps": 4},
        loss={"name": "adaptive", "label_smoothing": 0.1},
        baselines=[{"name": "focal", "gamma": 1}],
        search={"lr": [0.1, 0.01]},
        class_order=["1", "0"],
    )
    assert parse_sweep(spec.model_dump_json()) == spec


def test_alpha_is_searched_over_three_decades_by_default() -> None:
    spec = parse()
    assert spec.space(spec.loss) == {"alpha": DEFAULT_ALPHA}
    assert Range(low=0.001, high=1.0, log=True) == DEFAULT_ALPHA


def test_a_study_varies_what_its_loss_takes_and_a_baselines_holds_no_alpha() -> None:
    spec = parse(alpha=[0.1, 0.2], baselines=["focal", "cross_entropy"], search={"gamma": [1, 2], "lr": [0.1, 0.2]})
    adaptive, focal, plain = (spec.space(loss) for loss in spec.losses)
    assert adaptive == {"alpha": [0.1, 0.2], "lr": [0.1, 0.2]}
    assert focal == {"gamma": [1, 2], "lr": [0.1, 0.2]}
    assert plain == {"lr": [0.1, 0.2]}


@pytest.mark.parametrize("name", LOSSES)
def test_every_loss_of_the_table_can_be_swept(name: str) -> None:
    assert parse(loss=name).loss.name == name
