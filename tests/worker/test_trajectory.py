"""The importance in MLflow, against one worked out here by another way: plain loops, and torch for the gradients."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from torch import Tensor, nn

from sweep.datasets import Dataset
from sweep.slots import Attempt
from sweep.split import split
from worker.training.seeds import Stream, stream_generator, stream_seed

from .conftest import ALPHAS, Finished

CLASSES, BATCH, EPOCHS, LR, DECAY = 10, 64, 2, 0.002, 0.01
COUNTS = (105, 81, 62, 48, 37, 29, 22, 17, 13, 10)
SEEDS = (500, 501)
KEYS = [f"importance/{name}" for name in range(CLASSES)]


@dataclass
class Course:
    """What a replicate went through: after each step its importance and the batch's own rates; after each epoch its
    validation recalls."""

    importance_SC: list[list[float]] = field(default_factory=list)
    rates_SC: list[list[float | None]] = field(default_factory=list)
    recalls_EC: list[list[float]] = field(default_factory=list)
    recalls_of_test_C: list[float] = field(default_factory=list)


def false_negative_rates(predicted: Sequence[int], truth: Sequence[int]) -> list[float | None]:
    """The share of each class's samples in a batch that were taken for another; None where it has none."""
    rates: list[float | None] = []
    for label in range(CLASSES):
        mine = [guess for guess, true in zip(predicted, truth, strict=True) if true == label]
        rates.append(sum(guess != label for guess in mine) / len(mine) if mine else None)
    return rates


def first_largest(logits: Tensor) -> list[int]:
    return [row.index(max(row)) for row in logits.tolist()]


def recalls(model: nn.Module, inputs: Tensor, truth: Sequence[int]) -> list[float]:
    with torch.no_grad():
        rates = false_negative_rates(first_largest(model(inputs)), truth)
    return [1 - rate for rate in rates if rate is not None]


def train(dataset: Dataset, *, alpha: float, seed: int) -> Course:
    """One replicate of the fixture's sweep, at one thread as its worker had."""
    inputs, labels = torch.tensor(dataset.train_inputs), torch.tensor(dataset.train_labels)
    part = split(np.asarray(dataset.train_labels), counts=COUNTS, per_class=26, seed=seed)
    rows, held = torch.tensor(part.train), torch.tensor(part.validation)
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(stream_seed(seed, Stream.INITIALISATION))
        model = nn.Sequential(nn.Flatten(), nn.Linear(64, 128), nn.ReLU(), nn.Linear(128, CLASSES))
    order = stream_generator(seed, Stream.ORDER)
    optimizer = torch.optim.AdamW(model.parameters(), lr=LR, weight_decay=DECAY)
    steps, taken = math.ceil(len(rows) / BATCH), 0
    importance, course = [1.0] * CLASSES, Course()
    for _ in range(EPOCHS):
        shuffled = rows[torch.randperm(len(rows), generator=order)]
        for start in range(0, len(rows), BATCH):
            batch = shuffled[start : start + BATCH]
            truth = labels[batch].tolist()
            logits = model(inputs[batch])
            rates = false_negative_rates(first_largest(logits), truth)
            importance = [
                old if rate is None else alpha * rate + (1 - alpha) * old
                for old, rate in zip(importance, rates, strict=True)
            ]
            nlls = torch.logsumexp(logits, dim=1) - logits[torch.arange(len(batch)), truth]
            loss = sum(importance[label] * nll for label, nll in zip(truth, nlls, strict=True)) / len(batch)
            assert isinstance(loss, Tensor)
            optimizer.param_groups[0]["lr"] = LR * (1 + math.cos(math.pi * taken / (EPOCHS * steps))) / 2
            optimizer.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
            taken += 1
            course.importance_SC.append(importance)
            course.rates_SC.append(rates)
        course.recalls_EC.append(recalls(model, inputs[held], labels[held].tolist()))
    tested = torch.tensor(dataset.test_inputs)
    course.recalls_of_test_C = recalls(model, tested, torch.tensor(dataset.test_labels).tolist())
    return course


@pytest.fixture(scope="module")
def dataset(finished: Finished) -> Dataset:
    return finished.bench.parts.datasets.load("digits")


@pytest.fixture(scope="module", params=range(len(ALPHAS)), ids=[f"alpha={alpha}" for alpha in ALPHAS])
def trial(request: pytest.FixtureRequest, dataset: Dataset) -> tuple[int, list[Course]]:
    """A trial's number, and its replicates' courses as worked out here."""
    number: int = request.param
    return number, [train(dataset, alpha=ALPHAS[number], seed=seed) for seed in SEEDS]


def trajectory(finished: Finished, number: int) -> pd.DataFrame:
    return finished.runs.trajectory(finished.runs.one(number))


def last(finished: Finished, number: int) -> Attempt:
    attempt = finished.bench.slots(finished.bench.parts.store.get(finished.sweep_id))[number].last
    assert attempt is not None
    return attempt


def by_epoch(finished: Finished, run: dict[str, Any], key: str) -> list[float]:
    history = finished.runs.history(run, key)
    assert [epoch for epoch, _ in history] == [1, 2]
    return [value for _, value in history]


def test_the_trajectory_in_mlflow_is_the_one_worked_out_by_hand(
    trial: tuple[int, list[Course]], finished: Finished
) -> None:
    number, courses = trial
    table = trajectory(finished, number)
    assert list(table.columns) == ["replicate", "seed", "epoch", "step", *KEYS]
    steps = 14  # 424 samples in batches of 64 are 7, twice
    assert table["step"].tolist() == [*range(1, steps + 1)] * 2
    assert table["epoch"].tolist() == ([1] * 7 + [2] * 7) * 2
    assert table["replicate"].tolist() == [0] * steps + [1] * steps
    assert table["seed"].tolist() == [500] * steps + [501] * steps
    for replicate, course in enumerate(courses):
        found = table.loc[table["replicate"] == replicate, KEYS].to_numpy()
        np.testing.assert_allclose(found, np.array(course.importance_SC), rtol=0, atol=1e-6)


def test_the_metrics_in_mlflow_are_those_worked_out_by_hand(
    trial: tuple[int, list[Course]], finished: Finished
) -> None:
    number, courses = trial
    run = finished.runs.one(number)
    recall_EC = np.mean([course.recalls_EC for course in courses], axis=0)
    worst_E = np.mean([np.min(course.recalls_EC, axis=1) for course in courses], axis=0)
    importance_EC = np.mean([[course.importance_SC[6], course.importance_SC[13]] for course in courses], axis=0)
    for label in range(CLASSES):
        assert by_epoch(finished, run, f"val/recall/{label}") == pytest.approx(recall_EC[:, label].tolist())
        assert by_epoch(finished, run, f"importance/{label}") == pytest.approx(importance_EC[:, label], abs=1e-6)
    assert by_epoch(finished, run, "val/worst_recall") == pytest.approx(worst_E.tolist())
    ((_, tested),) = finished.runs.history(run, "test/balanced_accuracy")
    assert tested == pytest.approx(np.mean([course.recalls_of_test_C for course in courses]))
    assert last(finished, number).value == pytest.approx(recall_EC[1].mean())


def test_alpha_0_is_plain_cross_entropy_to_the_last_bit(finished: Finished) -> None:
    zero, plain = last(finished, 0), last(finished, 3)
    assert zero.replicates == plain.replicates
    assert zero.value == plain.value
    assert (trajectory(finished, 0)[KEYS] == 1.0).all(axis=None)
    ours, theirs = finished.runs.one(0), finished.runs.one(3)
    for key in ("train/loss", "val/nll", "val/balanced_accuracy", "val/recall/9", "test/nll"):
        assert finished.runs.history(ours, key) == finished.runs.history(theirs, key)


def test_another_alpha_is_not_plain_cross_entropy(finished: Finished) -> None:
    assert last(finished, 1).replicates != last(finished, 3).replicates
    assert last(finished, 2).replicates != last(finished, 1).replicates


@pytest.mark.parametrize("trial", [2], indirect=True)
def test_alpha_1_remembers_nothing_but_the_batch_at_hand(trial: tuple[int, list[Course]], finished: Finished) -> None:
    number, courses = trial
    table = trajectory(finished, number)
    for replicate, course in enumerate(courses):
        found = table.loc[table["replicate"] == replicate, KEYS].to_numpy()
        for importance_C, rates_C in zip(found, course.rates_SC, strict=True):
            present = {label: rate for label, rate in enumerate(rates_C) if rate is not None}
            assert len(present) > 5
            np.testing.assert_allclose(importance_C[list(present)], list(present.values()), rtol=0, atol=1e-7)
