"""A sweep made runnable: the defaults that the data set gives, and what the data set cannot carry."""

import json
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from sweep.choices import ModelChoice
from sweep.datasets import DatasetInfo
from sweep.errors import FieldProblem, InvalidSweep
from sweep.problems import parse_sweep
from sweep.resolve import ResolvedSweep, resolve
from sweep.space import Range

Resolve = Callable[..., ResolvedSweep]


def problem(resolved: Resolve, **fields: object) -> FieldProblem:
    with pytest.raises(InvalidSweep) as caught:
        resolved(**fields)
    (only,) = caught.value.problems
    return only


def exponential(*ratios: float, **fields: object) -> dict[str, object]:
    return {"profile": "exponential", "ratios": list(ratios), **fields}


def test_the_smallest_body_gets_every_default(resolved: Resolve) -> None:
    spec = resolved().spec
    assert (spec.name, spec.model.name, spec.sampler, spec.trials) == ("digits exponential", "mlp", "tpe", 8)
    assert spec.alpha == Range(low=0.001, high=1.0, log=True)
    assert spec.validation.per_class == 26  # a fifth of the smallest class, which has 131
    training = spec.training
    assert (training.batch_size, training.lr, training.weight_decay) == (64, 0.002, 0.01)
    assert training.augment is False


def test_sgd_has_its_own_learning_rate_and_decay(resolved: Resolve) -> None:
    training = resolved(training={"optimizer": "sgd"}).spec.training
    assert (training.lr, training.weight_decay) == (0.05, 2e-4)


def test_what_is_asked_stands(resolved: Resolve) -> None:
    spec = resolved(
        name="mine", model="linear", trials=3, training={"lr": 0.5, "batch_size": 7, "augment": False},
        validation={"per_class": 11},
    ).spec  # fmt: skip
    assert (spec.name, spec.model.name, spec.trials, spec.validation.per_class) == ("mine", "linear", 3, 11)
    assert (spec.training.lr, spec.training.batch_size, spec.training.augment) == (0.5, 7, False)


def test_a_large_pool_of_colour_images_trains_otherwise(digits: DatasetInfo) -> None:
    photos = replace(digits, kind="image", shape=(3, 32, 32), pool_counts=(5000,) * 10)
    body = b'{"dataset": "digits", "imbalance": {"profile": "exponential", "ratios": [1]}}'
    spec = resolve(parse_sweep(body), photos).spec
    assert (spec.model.name, spec.training.batch_size, spec.training.augment) == ("small_cnn", 128, True)
    assert spec.validation.per_class == 500
    large = replace(photos, shape=(3, 96, 96))
    assert resolve(parse_sweep(body), large).spec.model.name == "resnet18"


@pytest.mark.parametrize(("shape", "model"), [((1, 7, 28), "mlp"), ((3, 8, 8), "small_cnn"), ((1, 65, 9), "resnet18")])
def test_images_too_small_for_convolutions_get_hidden_layers(
    shape: tuple[int, ...], model: str, digits: DatasetInfo
) -> None:
    body = {"dataset": "digits", "imbalance": exponential(1)}
    thumbs = replace(digits, kind="image", shape=shape)
    assert resolve(parse_sweep(json.dumps(body)), thumbs).spec.model == ModelChoice(name=model)
    for asked in ("small_cnn", "resnet32", "resnet18"):
        sweep = parse_sweep(json.dumps({**body, "model": asked}))
        if model != "mlp":
            assert resolve(sweep, thumbs).spec.model.name == asked
            continue
        with pytest.raises(InvalidSweep, match=rf"model: {asked} takes images of 8 pixels a side .* linear, mlp"):
            resolve(sweep, thumbs)


def test_a_recall_of_one_class_may_be_the_objective(resolved: Resolve) -> None:
    assert resolved(objective="recall/9").spec.objective == "recall/9"


def test_momentum_is_searched_with_sgd(resolved: Resolve) -> None:
    training = {"optimizer": "sgd"}
    assert resolved(search={"momentum": [0.5, 0.9]}, training=training).spec.search == {"momentum": [0.5, 0.9]}
    flat = {**training, "nesterov": False}
    assert resolved(search={"momentum": [0, 0.9]}, training=flat).spec.search == {"momentum": [0, 0.9]}


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"alpha": 0.1},
        {"alpha": [0.1, 0.2], "baselines": ["focal"], "search": {"gamma": {"low": 0, "high": 5}}},
        {"alpha": {"low": 0.01, "high": 1, "log": True}, "sampler": "grid", "trials": 5},
        {"loss": "cross_entropy", "baselines": ["adaptive"]},
        {"validation": {"scheme": "stratified_holdout"}, "class_order": "shuffled", "seed": 3},
    ],
)
def test_a_resolved_sweep_submitted_again_resolves_to_itself(
    fields: dict[str, object], resolved: Resolve, digits: DatasetInfo
) -> None:
    once = resolved(**fields)
    assert resolve(parse_sweep(once.spec.model_dump_json()), digits) == once


def test_each_ratio_is_a_scenario_with_its_counts(resolved: Resolve) -> None:
    one, hundred = resolved(imbalance=exponential(1, 100)).scenarios
    assert (one.profile, one.ratio, one.counts) == ("exponential", 1, (105,) * 10)
    assert (hundred.ratio, hundred.counts) == (100, (105, 62, 37, 22, 13, 8, 4, 2, 1, 1))
    assert hundred.title == "exponential×100"


def test_class_order_says_which_class_is_the_head(resolved: Resolve) -> None:
    (label,) = resolved(imbalance=exponential(10)).scenarios
    (tail_first,) = resolved(imbalance=exponential(10), class_order="reversed").scenarios
    (named,) = resolved(imbalance=exponential(10), class_order=list("1023456789")).scenarios
    assert tail_first.counts == label.counts[::-1]
    assert named.counts == (label.counts[1], label.counts[0], *label.counts[2:])


def test_natural_and_named_counts_have_the_ratio_that_they_have(resolved: Resolve, digits: DatasetInfo) -> None:
    (natural,) = resolved(imbalance={"profile": "natural"}).scenarios
    assert natural.counts == tuple(count - 26 for count in digits.pool_counts)
    assert natural.ratio == pytest.approx(112 / 105)
    counts = {name: 10 + 9 * label for label, name in enumerate(digits.classes)}
    (named,) = resolved(imbalance={"profile": "counts", "counts": dict(reversed(counts.items()))}).scenarios
    assert (named.counts, named.ratio) == (tuple(counts.values()), 9.1)


@pytest.mark.parametrize(
    ("fields", "field", "said", "expected"),
    [
        (
            {"imbalance": exponential(1, 10_000)}, "imbalance.ratios",
            "At ratio 10000 with 105 samples in the largest class, 5 of 10 classes would have none.",
            "a ratio of at most 105",
        ),
        (
            {"imbalance": exponential(10, n_max=1000)}, "imbalance.n_max",
            "Class '0' needs 1000 samples and has 108 (9 classes lack samples).", "no class to need more than it has",
        ),
        (
            {"imbalance": {"profile": "counts", "counts": {"0": 3}}}, "imbalance.counts",
            "counts and classes differ by 1, 2, 3", "a count for each of 0, 1, 2",
        ),
        (
            {"validation": {"per_class": 131}}, "validation.per_class",
            "131 validation samples a class leave none to train on", "at most 130",
        ),
        (
            {"validation": {"scheme": "stratified_holdout"}, "imbalance": exponential(100)}, "validation.scheme",
            "Class '9' has 1 of the 2 samples that it needs.", "at least 2 samples in every class",
        ),
        ({"model": "resnet32"}, "model", "resnet32 takes no vectors", "auto or one of linear, mlp"),
        ({"class_order": ["0", "1"]}, "class_order", "the order does not name each class once.", "an order of 0, 1"),
        ({"alpha": [0.1, 0.2, 0.3], "trials": 2}, "trials", "the grid has 3 points, and 2 trials", "trials 3"),
        ({"alpha": [0.1, 0.2, 0.3], "trials": 8}, "trials", "the grid has 3 points, and 8 trials", "trials 3"),
        ({"alpha": 0.1, "trials": 2}, "trials", "nothing varies, so 2 trials would be one and the same.", "trials 1"),
        (
            {"sampler": "grid", "search": {"lr": {"low": 0.01, "high": 0.1}}}, "alpha",
            "a grid does not know how many points this range has.", '"steps" in the range',
        ),
        (
            {"sampler": "grid", "alpha": 0.1, "search": {"lr": {"low": 0.01, "high": 0.1}}, "trials": 1}, "search.lr",
            "a grid does not know how many points this range has.", '"steps" in the range',
        ),
        (
            {"sampler": "grid", "loss": "cross_entropy", "baselines": ["adaptive"]}, "alpha",
            "a grid does not know how many points this range has.", '"steps" in the range',
        ),
        (
            {"search": {"momentum": [0.5, 0.9]}}, "search.momentum",
            "adamw has no momentum.", 'momentum with "optimizer": "sgd" only',
        ),
        (
            {"search": {"momentum": {"low": 0, "high": 0.9}}, "training": {"optimizer": "sgd"}}, "search.momentum",
            "Nesterov needs momentum, got momentum 0.", "values above 0, or nesterov false",
        ),
        (
            {"search": {"momentum": [0.9, 0]}, "training": {"optimizer": "sgd"}}, "search.momentum",
            "Nesterov needs momentum, got momentum 0.", "values above 0, or nesterov false",
        ),
        (
            {"alpha": 0.1, "search": {"batch_size": {"low": 2, "high": 4, "steps": 5}}, "sampler": "grid"},
            "search.batch_size", "a grid of 5 steps repeats whole numbers.", "at most 3 steps, or a list of values",
        ),
        (
            {"validation": {"scheme": "stratified_holdout", "per_class": 300}}, "validation",
            "a stratified holdout takes a fraction of every class.", "fraction, or a balanced holdout",
        ),
        (
            {"training": {"augment": True}}, "training.augment",
            "digits has vectors, which are not augmented.", "augment with images only",
        ),
        ({"objective": "mean_iou"}, "objective", "digits has no labels by pixel, which mean_iou is about.", "another"),
        ({"objective": "iou/3"}, "objective", "digits has no labels by pixel, which iou is about.", "another"),
        ({"objective": "recall/ten"}, "objective", "no class is called 'ten'.", "one of 0, 1, 2"),
        (
            {"trials": 10_000, "imbalance": exponential(*range(1, 31))}, "trials",
            "the sweep would have 300000 trials.", "at most",
        ),
    ],
)  # fmt: skip
def test_what_the_data_or_the_budget_cannot_carry_is_refused_with_the_numbers(
    fields: dict[str, object], field: str, said: str, expected: str, resolved: Resolve
) -> None:
    found = problem(resolved, **fields)
    assert found.field == field
    assert found.problem.startswith(said)
    assert found.expected.startswith(expected)


def test_a_stratified_holdout_takes_its_fraction_of_every_class(resolved: Resolve, digits: DatasetInfo) -> None:
    (scenario,) = resolved(imbalance={"profile": "natural"}, validation={"scheme": "stratified_holdout"}).scenarios
    assert scenario.drawn == digits.pool_counts
    held = [max(1, int(0.2 * count)) for count in digits.pool_counts]
    assert scenario.counts == tuple(np.subtract(digits.pool_counts, held))


def test_lists_make_a_grid_whose_size_is_the_number_of_trials(resolved: Resolve) -> None:
    spec = resolved(alpha=[0.1, 0.2, 0.3], search={"lr": [0.1, 0.2]}).spec
    assert (spec.sampler, spec.trials) == ("grid", 6)


def test_a_lone_range_of_a_grid_takes_the_points_that_the_trials_leave(resolved: Resolve) -> None:
    spec = resolved(alpha=[0.1, 0.2], search={"lr": {"low": 0.1, "high": 1}}, sampler="grid", trials=6).spec
    assert spec.trials == 6
    assert spec.search["lr"] == Range(low=0.1, high=1, steps=3)
    free = resolved(sampler="grid").spec
    assert (free.trials, free.alpha) == (8, Range(low=0.001, high=1.0, log=True, steps=8))


def test_a_baselines_own_range_gets_as_many_points_as_the_swept_loss_has(resolved: Resolve) -> None:
    spec = resolved(alpha=[0.1, 0.2, 0.3], baselines=["focal"], search={"gamma": {"low": 0, "high": 4}}).spec
    assert (spec.sampler, spec.trials) == ("grid", 3)
    assert spec.search["gamma"] == Range(low=0, high=4, steps=3)
