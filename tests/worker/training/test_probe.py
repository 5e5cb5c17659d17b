"""Models whose form in a stack, or alone, would not be the model: found before anything is trained."""

from collections.abc import Callable
from itertools import count

import numpy as np
import pytest
import torch
from torch import nn

from worker.training import models
from worker.training.data import DeviceData
from worker.training.probe import no_stack
from worker.training.trainer import Training
from worker.training.trial import Member, TrialSpec

from .odd import (
    CLASSES,
    FEATURES,
    AlwaysDrops,
    Assigns,
    Bound,
    Branches,
    Centred,
    Drawn,
    Draws,
    DrawsInEvaluation,
    FromTheFront,
    InPlace,
    Listed,
    Net,
    Normalised,
    OfWholeNumbers,
    OverAll,
    Recomputes,
    SeldomDraws,
    Temperature,
    hooked,
    pre_hooked,
    replaced,
)  # fmt: skip

Build = Callable[[], nn.Module]
_NUMBERS = count()


@pytest.fixture
def named(monkeypatch: pytest.MonkeyPatch) -> Callable[[Build], TrialSpec]:
    """A trial of a model under a name of its own."""

    def register(build: Build) -> TrialSpec:
        name = f"odd{next(_NUMBERS)}"
        monkeypatch.setitem(models.MODELS, name, lambda input_shape, classes: build())  # type: ignore[arg-type]
        return TrialSpec(
            loss="cross_entropy", loss_params={}, model=name, model_params={}, epochs=2, batch_size=8,
            optimizer="adamw", lr=0.05, precision="float64",
        )  # fmt: skip

    return register


@pytest.fixture
def data() -> DeviceData:
    """Thirty points."""
    random = np.random.default_rng(0)
    points, labels = random.normal(size=(30, FEATURES)).astype(np.float32), np.arange(30) % CLASSES
    return DeviceData(
        train_inputs=points, train_labels=labels, test_inputs=points, test_labels=labels, classes=CLASSES,
        device=torch.device("cpu"),
    )  # fmt: skip


def trained(trial: TrialSpec, data: DeviceData, *seeds: int) -> list[float]:
    rows = np.arange(30)
    training = Training([Member(trial, seed, rows[:20], rows[20:]) for seed in seeds], data)
    while training.live:
        records = training.run_epoch()
    return [record.validation.nll for record in records]


@pytest.mark.parametrize(
    "build",
    [Listed, Bound, Drawn, FromTheFront, OverAll, Centred, Branches, Draws, InPlace, pre_hooked, replaced],
    ids=lambda build: build.__name__,
)
def test_what_would_be_another_model_in_a_stack_is_trained_alone_and_says_why(
    build: Build, named: Callable[[Build], TrialSpec], data: DeviceData
) -> None:
    trial = named(build)
    assert no_stack(trial, data) is not None
    together = trained(trial, data, 1, 2, 2)
    assert together == [trained(trial, data, seed)[0] for seed in (1, 2, 2)]
    assert together[1] == together[2]


@pytest.mark.parametrize("build", [Draws, SeldomDraws, DrawsInEvaluation], ids=lambda build: build.__name__)
def test_what_draws_by_itself_is_told_from_its_draws_and_has_its_members_stream(
    build: Build, named: Callable[[Build], TrialSpec], data: DeviceData
) -> None:
    trial = named(build)
    assert no_stack(trial, data) == "it draws random numbers outside of layers of dropout"
    expected = trained(trial, data, 1)
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(99)
        before = torch.get_rng_state()
        assert trained(trial, data, 2, 1)[1:] == expected
        assert torch.equal(torch.get_rng_state(), before)


def test_what_could_not_be_tried_is_trained_alone(named: Callable[[Build], TrialSpec]) -> None:
    random = np.random.default_rng(0)
    points, labels = random.integers(0, 10, (30, FEATURES)).astype(np.float32), np.arange(30) % CLASSES
    data = DeviceData(
        train_inputs=points, train_labels=labels, test_inputs=points, test_labels=labels, classes=CLASSES,
        device=torch.device("cpu"),
    )  # fmt: skip
    trial = named(OfWholeNumbers)
    assert no_stack(trial, data) == "it takes none of the random inputs that it was to be tried on"
    assert trained(trial, data, 1, 2) == [trained(trial, data, seed)[0] for seed in (1, 2)]


def test_a_model_as_it_should_be_is_stacked(named: Callable[[Build], TrialSpec], data: DeviceData) -> None:
    assert no_stack(named(Net), data) is None
    assert (
        no_stack(named(lambda: nn.Sequential(nn.Linear(FEATURES, 8), nn.Dropout(0.5), nn.Linear(8, CLASSES))), data)
        is None
    )


@pytest.mark.parametrize("build", [Assigns, Recomputes, hooked], ids=lambda build: build.__name__)
def test_what_would_be_another_model_even_alone_is_refused(
    build: Build, named: Callable[[Build], TrialSpec], data: DeviceData
) -> None:
    with pytest.raises(ValueError, match="Expected a model that learns by its parameters"):
        trained(named(build), data, 1)


def test_dropout_of_channels_on_vectors_is_trained_alone(named: Callable[[Build], TrialSpec], data: DeviceData) -> None:
    trial = named(lambda: nn.Sequential(nn.Linear(FEATURES, 8), nn.Dropout2d(0.5), nn.Linear(8, CLASSES)))
    with pytest.warns(UserWarning, match="dropout2d"):
        assert no_stack(trial, data) is not None
        assert trained(trial, data, 1) == trained(trial, data, 1)


def test_a_parameter_without_a_dimension_learns(named: Callable[[Build], TrialSpec], data: DeviceData) -> None:
    assert trained(named(Temperature), data, 1) != trained(named(lambda: nn.Linear(FEATURES, CLASSES)), data, 1)


def test_what_draws_in_evaluation_is_the_same_twice_and_leaves_the_generator(
    named: Callable[[Build], TrialSpec], data: DeviceData
) -> None:
    trial = named(AlwaysDrops)
    before = torch.get_rng_state()
    assert trained(trial, data, 1) == trained(trial, data, 1)
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize("name", ["exp_avg", "exp_avg_sq", "values", "momentum_buffer", "importance", "level"])
def test_a_buffer_may_have_any_name(name: str, named: Callable[[Build], TrialSpec], data: DeviceData) -> None:
    expected = trained(named(lambda: Normalised("a_name_of_its_own")), data, 1, 2)
    assert trained(named(lambda: Normalised(name)), data, 1, 2) == expected
