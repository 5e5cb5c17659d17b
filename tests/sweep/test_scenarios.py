"""The scenarios of data whose labels are by pixel: made to order, or the user's as they are."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from sweep.datasets import DatasetInfo, Datasets
from sweep.errors import FieldProblem, InvalidSweep
from sweep.problems import parse_sweep
from sweep.resolve import ResolvedSweep, resolve

OPTIONS: dict[str, float | str] = {"size": 16, "images": 20}
PIXELS = 20 * 16 * 16
EXPONENTIAL = {"profile": "exponential", "ratios": [1, 10]}
Over = Callable[..., ResolvedSweep]


@pytest.fixture(scope="module")
def shapes(tmp_path_factory: pytest.TempPathFactory) -> DatasetInfo:
    """A background, discs, squares and triangles on twenty images of 16 x 16."""
    return Datasets(tmp_path_factory.mktemp("shapes")).info("shapes", options=OPTIONS)


@pytest.fixture
def over(shapes: DatasetInfo) -> Over:
    """A sweep over these with the given fields changed, resolved."""

    def make(info: DatasetInfo = shapes, **fields: object) -> ResolvedSweep:
        body = {"dataset": {"name": "shapes", **OPTIONS}, "imbalance": EXPONENTIAL, **fields}
        return resolve(parse_sweep(json.dumps(body)), info)

    return make


@pytest.fixture(scope="module")
def masks(shapes: DatasetInfo) -> DatasetInfo:
    """The same as if they were the user's."""
    facts = {name: getattr(shapes, name) for name in ("classes", "shape", "test_counts", "source", "fingerprint")}
    return DatasetInfo(name="park", kind="dense", pool_counts=(900, 90, 30, 10), content="x", **facts)


def refused(over: Over, info: DatasetInfo | None = None, **fields: object) -> FieldProblem:
    with pytest.raises(InvalidSweep) as caught:
        over(*([info] if info else []), **fields)
    (only,) = caught.value.problems
    return only


def test_each_ratio_fills_the_images_the_background_most_of_all(over: Over) -> None:
    one, ten = over().scenarios
    assert [scenario.title for scenario in (one, ten)] == ["exponential×1", "exponential×10"]
    assert one.counts == one.drawn == (1280,) * 4
    assert sum(ten.counts) == PIXELS
    assert ten.counts[0] / ten.counts[3] == pytest.approx(10, rel=0.01)
    assert ten.counts == tuple(sorted(ten.counts, reverse=True))


def test_steps_have_their_minority(over: Over) -> None:
    (step,) = over(imbalance={"profile": "step", "ratios": [10], "minority": 0.25}).scenarios
    assert step.counts == (1653, 1651, 1651, 165)


def test_defaults_are_those_of_dense_labels(over: Over) -> None:
    spec = over().spec
    assert (spec.model.name, spec.training.batch_size, spec.training.augment) == ("unet", 16, True)
    assert (spec.validation.scheme, spec.validation.fraction, spec.validation.per_class) == (
        "stratified_holdout", 0.2, None,
    )  # fmt: skip
    assert spec.dataset.params == {"size": 16, "images": 20, "classes": 3, "noise": 0.15}


@pytest.mark.parametrize("fields", [{}, {"validation": {"fraction": 0.4}}, {"model": {"name": "unet", "width": 4}}])
def test_a_resolved_sweep_submitted_again_resolves_to_itself(fields: dict[str, object], over: Over) -> None:
    once = over(**fields)
    again = over(**json.loads(once.spec.model_dump_json()))
    assert again == once


@pytest.mark.parametrize("objective", ["mean_iou", "iou/disc", "recall/triangle", "worst_recall"])
def test_the_objective_may_be_about_pixels_of_one_class(objective: str, over: Over) -> None:
    assert over(objective=objective).spec.objective == objective


@pytest.mark.parametrize(
    ("fields", "field", "said", "expected"),
    [
        (
            {"validation": {"per_class": 5}}, "validation", "a pixel cannot be held out alone",
            "a fraction of the images",
        ),
        (
            {"validation": {"scheme": "balanced_holdout"}}, "validation", "a pixel cannot be held out alone",
            "a fraction of the images",
        ),
        ({"class_order": "reversed"}, "class_order", "the classes of dense labels keep their order", "label"),
        (
            {"class_order": ["disc", "square", "triangle", "background"]}, "class_order",
            "the classes of dense labels keep their order", "label",
        ),
        ({"imbalance": {**EXPONENTIAL, "n_max": 50}}, "imbalance.n_max", "fix the pixels", "no n_max"),
        (
            {"imbalance": {"profile": "natural"}}, "imbalance.profile",
            "Pixels are made by a ratio", "exponential, step",
        ),
        (
            {"imbalance": {"profile": "counts", "counts": {"disc": 9}}}, "imbalance.profile",
            "Pixels are made by a ratio", "exponential, step",
        ),
        (
            {"imbalance": {"profile": "exponential", "ratios": [1, 1000]}}, "imbalance.ratios",
            "At ratio 1000 the smallest class would have 4 of 5120 pixels.", "at least 25",
        ),
        ({"model": "small_cnn"}, "model", "small_cnn takes no images with one label a pixel", "auto or one of unet"),
        ({"objective": "iou/ring"}, "objective", "no class is called 'ring'", "one of background, disc, square"),
    ],
)  # fmt: skip
def test_what_pixels_cannot_do_is_refused(
    fields: dict[str, Any], field: str, said: str, expected: str, over: Over
) -> None:
    found = refused(over, **fields)
    assert found.field == field
    assert said in found.problem
    assert found.expected.startswith(expected)


def test_a_users_masks_are_taken_as_they_are(over: Over, masks: DatasetInfo) -> None:
    (natural,) = over(masks, dataset="park", imbalance={"profile": "natural"}).scenarios
    assert (natural.profile, natural.ratio, natural.counts) == ("natural", 90, (900, 90, 30, 10))


@pytest.mark.parametrize("profile", ["exponential", "step", "linear"])
def test_a_users_pixels_cannot_be_dropped(profile: str, over: Over, masks: DatasetInfo) -> None:
    found = refused(over, masks, dataset="park", imbalance={"profile": profile, "ratios": [2]})
    assert found.field == "imbalance.profile"
    assert found.problem.startswith(f"{profile} would drop samples, and the pixels of park cannot be dropped")
    assert found.expected.startswith("natural")


def test_a_u_net_takes_no_samples_of_one_label(over: Over, digits: DatasetInfo) -> None:
    found = refused(over, digits, dataset="digits", model="unet")
    assert (found.field, found.problem) == ("model", "unet takes no vectors, which digits has.")


def test_a_set_is_shown_at_its_options(tmp_path: Path, shapes: DatasetInfo) -> None:
    assert (shapes.shape, shapes.classes) == ((3, 16, 16), ("background", "disc", "square", "triangle"))
    assert Datasets(tmp_path).info("shapes", options={**OPTIONS, "classes": 1}).classes == ("background", "disc")
