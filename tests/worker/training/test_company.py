"""What members of one stack do not share: rows, counts, masks and epochs; and who is no company at all."""

from collections.abc import Sequence
from dataclasses import fields, replace
from typing import Any

import numpy as np
import pytest
import torch

from worker.training.cohort import Cohort
from worker.training.data import DeviceData
from worker.training.groups import kind_of
from worker.training.layers import Dropout
from worker.training.trainer import Training
from worker.training.trial import Member, TrialSpec

from .test_cohort import assert_equal, course

NUMBERS = {"loss": "focal", "loss_params": {"gamma": 1.0}, "lr": 0.2, "momentum": 0.5, "weight_decay": 0.1}
"""What may differ in a stack, by the name of the field and another value than `base` has."""
STEPS = {
    "model": "linear", "model_params": {"width": 9}, "epochs": 4, "batch_size": 9, "optimizer": "adamw",
    "nesterov": True, "schedule": "step", "warmup_epochs": 2, "step_milestones": (0.5,), "step_factor": 0.5,
    "augment": True, "precision": "float32",
}  # fmt: skip
"""What may not, as it would be other steps."""


@pytest.fixture
def base(plain: TrialSpec) -> TrialSpec:
    """A small mlp in float64 that warms up for an epoch."""
    return replace(
        plain, model="mlp", model_params={"width": 8}, schedule="cosine", warmup_epochs=1, precision="float64"
    )


def assert_as_alone(members: Sequence[Member], data: DeviceData) -> None:
    """Asserts that each has in every epoch the records, and at the end the test, that it has by itself."""
    epochs, tests = course(members, data)
    for position, member in enumerate(members):
        alone, (test,) = course([member], data)
        together = [record for epoch in epochs for record in epoch if record.member == position]
        for one, (lone,) in zip(together, alone, strict=True):
            assert_equal(one, lone, within=1e-9)
        np.testing.assert_array_equal(tests[position], test)


def groups(members: Sequence[Member], data: DeviceData) -> list[list[int]]:
    return [group.positions for group in Training(members, data)._groups]


def rows_of(data: DeviceData, counts: Sequence[int]) -> np.ndarray:
    """The first rows of the pool of each class, as many as asked."""
    labels_N = data.train.targets_of(torch.arange(len(data.train))).numpy()
    return np.concatenate([np.flatnonzero(labels_N == label)[:count] for label, count in enumerate(counts)])


@pytest.mark.parametrize(
    ("loss", "params"), [("weighted", {}), ("weighted", {"reduction": "weighted_mean"}), ("balanced_softmax", {})]
)
def test_a_loss_has_the_class_counts_of_its_members_rows(
    loss: str, params: dict[str, Any], base: TrialSpec, blobs: DeviceData
) -> None:
    trial, held = replace(base, loss=loss, loss_params=params), np.arange(120, 150)
    counts = ((30, 10, 5), (5, 10, 30), (15, 15, 15))
    many = [Member(trial, seed, rows_of(blobs, each), held) for seed, each in enumerate(counts)]
    assert groups(many, blobs) == [[0, 1, 2]]
    assert_as_alone(many, blobs)


@pytest.mark.parametrize(
    "other",
    [{"seed": 2}, {"train_index": np.arange(60, 120)}, {"validation_index": np.arange(130, 150)}],
    ids=lambda other: next(iter(other)),
)
def test_members_share_batches_and_rows_only_where_they_are_the_same(
    other: dict[str, Any], base: TrialSpec, blobs: DeviceData
) -> None:
    one = Member(base, 1, np.arange(60), np.arange(120, 140))
    both = [one, replace(one, **other), replace(one, trial=replace(base, lr=0.2))]
    assert groups(both, blobs) == [[0, 1, 2]]
    assert len(set(Cohort(both, blobs)._batches.replicates_K)) == 2
    assert_as_alone(both, blobs)


def test_those_that_join_have_the_masks_of_their_own_epochs(base: TrialSpec, blobs: DeviceData) -> None:
    trial = replace(base, model_params={"width": 8, "depth": 2, "dropout": 0.4}, schedule="constant", warmup_epochs=0)
    rows = np.arange(60), np.arange(120, 150)
    first, *others = (Member(trial, seed, *rows) for seed in (1, 2, 1))
    training = Training([first], blobs)
    training.run_epoch()
    training.join(others)
    assert [group.positions for group in training._groups] == [[0, 1, 2]]
    found = [record for _ in range(trial.epochs) for record in training.run_epoch()]
    for position, member in enumerate(others, start=1):
        own = [record for record in found if record.member == position]
        for one, (lone,) in zip(own, course([member], blobs)[0], strict=True):
            assert_equal(one, lone, within=1e-9)


def test_every_layer_has_masks_of_its_own_by_seed_and_epoch(base: TrialSpec, blobs: DeviceData) -> None:
    trial = replace(base, model_params={"width": 8, "depth": 2, "dropout": 0.5})
    cohort = Cohort([Member(trial, seed, np.arange(60), np.arange(120, 150)) for seed in (1, 2, 1)], blobs)
    seen, ones = set(), torch.ones(3, 50, 8)
    for _ in (1, 2):
        cohort.train_epoch()
        for layer in cohort.model.modules():
            if isinstance(layer, Dropout):  # each has drawn as often
                first, second, again = layer(ones)
                assert torch.equal(first, again)
                seen |= {first.numpy().tobytes(), second.numpy().tobytes()}
    assert len(seen) == 8


@pytest.mark.parametrize("name", STEPS)
def test_whose_steps_are_others_learns_apart_and_as_it_does_alone(
    name: str, base: TrialSpec, blobs: DeviceData, images: DeviceData
) -> None:
    data, pool = (images, 40) if name == "augment" else (blobs, 150)
    fitting = {
        "step_milestones": {"schedule": "step"},
        "step_factor": {"schedule": "step"},
        "model": {"model_params": {}},
    }
    start = replace(base, **fitting.get(name, {}))  # type: ignore[arg-type]
    rows = np.arange(pool - 30), np.arange(pool - 30, pool)
    both = [Member(trial, 1, *rows) for trial in (start, replace(start, **{name: STEPS[name]}))]  # type: ignore[arg-type]
    assert kind_of(both[0]) != kind_of(both[1])
    assert groups(both, data) == [[0], [1]]
    if name != "precision":
        assert_as_alone(both, data)


@pytest.mark.parametrize("rows", [(59, 30), (60, 29)], ids=["training", "validation"])
def test_who_has_more_rows_learns_apart(rows: tuple[int, int], base: TrialSpec, blobs: DeviceData) -> None:
    both = [Member(base, 1, np.arange(count), np.arange(120, 120 + held)) for count, held in ((60, 30), rows)]
    assert groups(both, blobs) == [[0], [1]]
    assert_as_alone(both, blobs)


@pytest.mark.parametrize("name", NUMBERS)
def test_who_differs_in_a_number_learns_in_the_same_stack(name: str, base: TrialSpec, blobs: DeviceData) -> None:
    other = replace(base, **{name: NUMBERS[name]}, **({"loss": "focal"} if name == "loss_params" else {}))  # type: ignore[arg-type]
    rows = np.arange(60), np.arange(120, 150)
    assert groups([Member(base, 1, *rows), Member(other, 1, *rows)], blobs) == [[0, 1]]


def test_every_field_of_a_trial_is_a_number_or_of_the_steps() -> None:
    assert NUMBERS.keys() | STEPS.keys() == {field.name for field in fields(TrialSpec)}
    assert not NUMBERS.keys() & STEPS.keys()
