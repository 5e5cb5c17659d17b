"""What a pace is measured of, which work it is then taken for, and what a member needs by a count on paper."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from worker import pace as pace_module
from worker.pace import Pace, Paces, measure
from worker.training.cohort import Cohort
from worker.training.data import DeviceData
from worker.training.trial import Member, TrialSpec

CPU = torch.device("cpu")
SPEC = TrialSpec(
    loss="adaptive", loss_params={"alpha": 0.1}, model="mlp", model_params={}, epochs=3, batch_size=16,
    optimizer="adamw", lr=0.1,
)  # fmt: skip
WORK = [Member(SPEC, seed, np.arange(60) + seed, np.arange(60, 90)) for seed in (1, 2)]
Change = Callable[[Member], Member]


def trial(**fields: object) -> Change:
    return lambda member: replace(member, trial=replace(member.trial, **fields))  # type: ignore[arg-type]


@pytest.fixture
def data() -> DeviceData:
    """Ninety images of 28 by 28 in three classes."""
    images, labels = np.random.default_rng(1).integers(0, 255, (90, 1, 28, 28)).astype(np.uint8), np.arange(90) % 3
    return DeviceData(
        train_inputs=images, train_labels=labels, test_inputs=images, test_labels=labels, classes=3, device=CPU
    )


@pytest.fixture
def measured(monkeypatch: pytest.MonkeyPatch) -> list[bool]:
    """Whether steps were to be recorded, of each measurement that was asked for."""
    asked: list[bool] = []

    def once(members: Sequence[Member], data: DeviceData, *, graphs: bool, heed: object) -> Pace:
        asked.append(graphs)
        return Pace(seconds={1: 1.0}, member_bytes=1)

    monkeypatch.setattr(pace_module, "measure", once)
    return asked


@pytest.fixture
def kinds(tmp_path: Path, measured: list[bool]) -> Callable[..., int]:
    """How many kinds of work these are, by how often is measured."""

    def count(*works: tuple[Sequence[Member], DeviceData]) -> int:
        measured.clear()
        paces = Paces(tmp_path)
        for members, data in works:
            paces.of(members, data)
        return len(measured)

    return count


@pytest.mark.parametrize(
    "change",
    [
        trial(model="linear"),
        trial(model_params={"width": 64}),
        trial(batch_size=17),
        trial(optimizer="sgd"),
        trial(augment=True),
        trial(precision="bfloat16"),
        lambda member: replace(member, train_index=member.train_index[:15]),  # less than a batch
    ],
    ids=["model", "width", "batch", "optimizer", "augment", "precision", "rows"],
)
def test_other_work_is_measured_anew(change: Change, kinds: Callable[..., int], data: DeviceData) -> None:
    assert kinds((WORK, data), ([change(member) for member in WORK], data)) == 2


@pytest.mark.parametrize(
    "change",
    [
        trial(loss="focal", loss_params={"gamma": 2.0}),  # trials of several losses lie in one stack
        trial(lr=0.2, epochs=9, weight_decay=0.1, schedule="cosine"),
        lambda member: replace(member, seed=9, train_index=member.train_index[:50]),
    ],
    ids=["loss", "numbers", "rows"],
)
def test_what_changes_no_step_is_not_measured_again(
    change: Change, kinds: Callable[..., int], data: DeviceData
) -> None:
    assert kinds((WORK, data), ([change(member) for member in WORK], data)) == 1


def test_more_replicates_of_a_trial_are_other_work(kinds: Callable[..., int], data: DeviceData) -> None:
    assert kinds((WORK, data), (WORK[:1], data)) == 2


@pytest.mark.parametrize(
    ("module", "name", "answer"), [(torch, "get_num_threads", 17), (pace_module, "processor", "2 x another")]
)
def test_other_threads_and_other_processors_have_paces_of_their_own(
    module: ModuleType, name: str, answer: object, measured: list[bool], data: DeviceData, tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    paces = Paces(tmp_path)
    paces.of(WORK, data)
    monkeypatch.setattr(module, name, lambda: answer)
    paces.of(WORK, data)
    assert len(measured) == 2


def test_recorded_steps_and_another_gpu_have_paces_of_their_own(
    measured: list[bool], data: DeviceData, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    on_gpu: Any = SimpleNamespace(device=torch.device("cuda"), input_shape=data.input_shape, classes=3)
    for name in ("a GPU", "another"):
        monkeypatch.setattr(torch.cuda, "get_device_name", lambda device, name=name: name)
        for graphs in (False, True, False, True):
            Paces(tmp_path, graphs=graphs).of(WORK, on_gpu)
    assert measured == [False, True] * 2


def test_on_a_cpu_nothing_is_recorded(
    measured: list[bool], data: DeviceData, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pace_module, "_UNDISTURBED", 0.0)
    for graphs in (False, True):
        Paces(tmp_path, graphs=graphs).of(WORK, data)
    assert measured == [False]


def test_what_is_measured_is_what_will_be_trained(data: DeviceData, monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[tuple[list[int], list[int], bool]] = []

    def noted(members: Sequence[Member], *rest: Any, graphs: bool, **more: Any) -> Cohort:
        cohort = Cohort(members, *rest, graphs=graphs, **more)
        made.append(([one.seed for one in members], [int(one.train_index[0]) for one in members], graphs))
        return cohort

    monkeypatch.setattr(pace_module, "Cohort", noted)
    monkeypatch.setattr(pace_module, "_seconds", lambda cohort, clock: 1.0)
    monkeypatch.setattr(pace_module, "fitting", lambda size, device: 4)
    for graphs in (False, True):
        made.clear()
        assert set(measure(WORK, data, graphs=graphs).seconds) == {1, 2, 4}
        assert made == [([1], [1], graphs), ([1, 2], [1, 2], graphs), ([1, 2, 1, 2], [1, 2, 1, 2], graphs)]


def convolved(batch: int) -> int:
    """Of small_cnn: of each layer what its gradient needs, the indices of its pooling in int64; and its weights."""
    first = 28 * 28 + 16 * 28 * 28 + 3 * 16 * 14 * 14 + 16 * 14 * 14  # image, convolved, pooled from where, ReLU
    second = 32 * 14 * 14 + 3 * 32 * 7 * 7 + 32 * 7 * 7
    third = 64 * 7 * 7 + 3 * 64 * 3 * 3 + 64 * 3 * 3 + 64
    weights = 9 * (16 + 16 * 32 + 32 * 64) + 2 * (16 + 32 + 64) + 65 * 3
    return 4 * (batch * (first + second + third) + 8 * weights)


def mapped(batch: int) -> int:
    """Of mlp: image and hidden units; the weights, which a gradient needs as well."""
    weights = (28 * 28 + 1) * 128 + 129 * 3
    return 4 * (batch * (28 * 28 + 128) + 8 * weights)


@pytest.mark.parametrize(("model", "expected"), [("small_cnn", convolved), ("mlp", mapped)])
@pytest.mark.parametrize("batch", [8, 20, 60])
def test_what_a_member_needs_is_what_a_count_on_paper_says(
    model: str, expected: Callable[[int], int], batch: int, data: DeviceData
) -> None:
    """Weights and their two moments twice, and the gradient twice: eight times the weights."""
    one = replace(WORK[0], trial=replace(SPEC, model=model, batch_size=batch))
    alone = Cohort([one], data)
    assert pace_module._bytes_of_member(alone) == pytest.approx(expected(batch), rel=0.25)
