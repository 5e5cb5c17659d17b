"""How wide stacks are: measured, modelled in memory, remembered, and what follows from it."""

import math
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from worker import pace as pace_module
from worker import room as room_module
from worker.pace import Pace, Paces, fitting, measure
from worker.room import Room
from worker.training.cohort import Cohort
from worker.training.data import DeviceData
from worker.training.trial import Member, TrialSpec
from worker.wishes import Interrupted

GROWS = Pace(seconds={1: 1.0, 2: 1.2, 4: 1.6, 8: 3.2, 16: 8.0}, member_bytes=10)
"""Quickest at 4; at 8 a member takes as long, at 16 longer."""
NEVER = Pace(seconds={1: 1.0, 2: 2.5, 4: 6.0}, member_bytes=10)


@pytest.fixture
def data() -> DeviceData:
    """Ninety images of 8 by 8 in three classes."""
    random = np.random.default_rng(1)
    images, labels = random.integers(0, 255, (90, 1, 8, 8)).astype(np.uint8), np.arange(90) % 3
    return DeviceData(
        train_inputs=images,
        train_labels=labels,
        test_inputs=images,
        test_labels=labels,
        classes=3,
        device=torch.device("cpu"),
    )


def member(model: str) -> Member:
    spec = TrialSpec(
        loss="adaptive", loss_params={"alpha": 0.1}, model=model, model_params={}, epochs=1, batch_size=16,
        optimizer="adamw", lr=0.1,
    )  # fmt: skip
    return Member(spec, 1, np.arange(60), np.arange(60, 90))


def test_the_width_is_the_fewest_members_at_which_one_takes_the_least_time() -> None:
    assert GROWS.width == 4
    assert NEVER.width == 1
    assert Pace(seconds={1: 1.0, 2: 1.99}, member_bytes=1).width == 1  # next to nothing gained


def test_joining_pays_where_a_stack_of_both_is_quicker_than_one_after_the_other() -> None:
    assert GROWS.pays(1, 3)
    assert GROWS.pays(2, 1)  # 1.4 between the widths measured, against 1.2 and 1.0
    assert not GROWS.pays(8, 8)
    assert not GROWS.pays(16, 16)  # beyond what was measured a member takes what it took at the widest
    assert not NEVER.pays(1, 1)


def test_stacks_of_growing_width_are_timed(data: DeviceData) -> None:
    found = measure([member("mlp")], data)
    assert set(found.seconds) >= {1, 2}
    assert all(width & (width - 1) == 0 and seconds > 0 for width, seconds in found.seconds.items())
    assert set(measure([member("resnet18")], data).seconds) == {1}  # has no stacked form


def test_a_stack_is_no_wider_than_memory_allows(data: DeviceData, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pace_module, "fitting", lambda size, device: 3)
    assert set(measure([member("mlp")], data).seconds) == {1, 2}
    monkeypatch.setattr(pace_module, "fitting", lambda size, device: 1)
    assert set(measure([member("mlp")], data).seconds) == {1}


def test_a_worker_takes_a_share_of_what_is_free(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pace_module, "free_bytes", lambda: 1000)
    cpu = torch.device("cpu")
    assert [fitting(size, cpu) for size in (10, 66, 500, 10_000)] == [20, 3, 1, 1]


def test_what_torch_keeps_on_a_gpu_for_later_is_free(monkeypatch: pytest.MonkeyPatch) -> None:
    gpu, asked = torch.device("cuda", 1), []
    for name, answer in (("mem_get_info", (100, 5000)), ("memory_reserved", 2400), ("memory_allocated", 1500)):
        monkeypatch.setattr(torch.cuda, name, lambda device, answer=answer: asked.append(device) or answer)
    assert fitting(10, gpu) == 70  # of a hundred, and of nine hundred that no tensor holds
    assert asked == [gpu] * 3


def test_a_trial_that_is_all_warm_up_can_be_measured(data: DeviceData) -> None:
    one = member("mlp")
    short = replace(one, trial=replace(one.trial, epochs=1, warmup_epochs=1, schedule="cosine"))
    assert measure([short], data).seconds[1] > 0


def test_without_memory_for_a_wider_stack_the_narrower_ones_count(
    data: DeviceData, monkeypatch: pytest.MonkeyPatch
) -> None:
    def seconds(cohort: Cohort, clock: object) -> float:
        if len(cohort.members) > 2:
            raise torch.OutOfMemoryError("CUDA out of memory.")
        return 1.0

    monkeypatch.setattr(pace_module, "_seconds", seconds)
    assert measure([member("mlp")], data).seconds == {1: 1.0, 2: 1.0}


def test_a_pace_that_cannot_be_kept_is_used_all_the_same(
    data: DeviceData, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pace_module, "measure", lambda members, data, **_: GROWS)
    (tmp_path / "file").write_text("no folder")
    assert Paces(tmp_path / "file").of([member("mlp")], data) == GROWS


def test_measuring_ends_when_a_wider_stack_is_slower_or_time_is_up(
    data: DeviceData, monkeypatch: pytest.MonkeyPatch
) -> None:
    def took(*seconds_by_width: float) -> set[int]:
        answers = iter(seconds_by_width)
        monkeypatch.setattr(pace_module, "_seconds", lambda cohort, clock: next(answers))
        return set(measure([member("linear")], data).seconds)

    assert took(1.0, 1.5, 4.1) == {1, 2, 4}
    assert took(1.0, 2.5, 3.0, 11.0) == {1, 2, 4, 8}
    ticks: Iterator[float] = iter([0.0, 1.0, 9.0])
    monkeypatch.setattr(pace_module, "_seconds", lambda cohort, clock: 1.0)
    assert set(measure([member("linear")], data, clock=lambda: next(ticks)).seconds) == {1, 2}


def test_a_pace_is_measured_once_and_kept_on_disk(
    data: DeviceData, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    measured: list[str] = []

    def once(members: Sequence[Member], data: DeviceData, **_: object) -> Pace:
        measured.append(members[0].trial.model)
        return GROWS

    monkeypatch.setattr(pace_module, "measure", once)
    monkeypatch.setattr(pace_module, "_UNDISTURBED", 0.0)
    paces = Paces(tmp_path / "paces")
    assert paces.of([member("mlp")], data) == paces.of([member("mlp")], data) == GROWS
    assert Paces(tmp_path / "paces").of([member("mlp")], data) == GROWS
    assert measured == ["mlp"]
    paces.of([member("linear")], data)
    assert measured == ["mlp", "linear"]
    (first, _) = sorted((tmp_path / "paces").iterdir(), key=lambda path: path.stat().st_mtime)
    first.write_text("half a fi")
    assert Paces(tmp_path / "paces").of([member("mlp")], data) == GROWS
    assert measured == ["mlp", "linear", "mlp"]


def test_a_pace_measured_on_a_busy_machine_is_not_kept(
    data: DeviceData, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def waited(members: Sequence[Member], data: DeviceData, **_: object) -> Pace:
        time.sleep(0.1)  # another process had the core
        return GROWS

    monkeypatch.setattr(pace_module, "measure", waited)
    paces = Paces(tmp_path / "paces")
    assert paces.of([member("mlp")], data) == GROWS
    assert not (tmp_path / "paces").exists()
    monkeypatch.setattr(pace_module, "measure", lambda members, data, **_: NEVER)
    assert paces.of([member("mlp")], data) == GROWS  # as long as the process lives
    assert Paces(tmp_path / "paces").of([member("mlp")], data) == NEVER


def test_a_model_without_a_stacked_form_is_said(
    data: DeviceData, tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(room_module, "no_stack", lambda trial, data: "it has frozen weights")
    with caplog.at_level("INFO"):
        room = Room.of([member("mlp")] * 2, data, width=3, paces=Paces(tmp_path))
    assert (room.width, room.most) == (1, 6)
    assert [(record.action, record.reason) for record in caplog.records] == [("one_by_one", "it has frozen weights")]  # type: ignore[attr-defined]


def test_room_is_for_as_many_trials_as_asked_or_as_pay(data: DeviceData, tmp_path: Path) -> None:
    replicates = [member("mlp")] * 2
    paces = Paces(tmp_path)
    asked = Room.of(replicates, data, width=3, paces=paces)
    assert (asked.width, asked.trials(0, width=6), asked.trials(2, width=6), asked.trials(6, width=6)) == (6, 3, 2, 0)
    assert asked.trials(2, width=3) == 0  # memory has halved the stacks since
    for kind, width, free in ((GROWS, 4, 1), (NEVER, 1, 0)):
        paces.of = lambda members, data, *, heed, kind=kind: kind if members == replicates else None  # type: ignore[assignment, misc]
        room = Room.of(replicates, data, width="auto", paces=paces)
        assert (room.width, room.trials(2, width=room.width)) == (width, free)


def test_room_counts_what_grows_with_classes_and_steps(
    data: DeviceData, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    one, asked = member("mlp"), []
    monkeypatch.setattr(room_module, "fitting", lambda size, device: asked.append(size) or 2)
    paces = Paces(tmp_path)
    paces.of = lambda members, data, **_: GROWS  # type: ignore[method-assign]
    assert Room.of([one], data, width="auto", paces=paces).width == 2
    steps = math.ceil(len(one.train_index) / one.trial.batch_size)
    course = data.classes * steps
    assert asked == [GROWS.member_bytes + 24 * data.classes**2 + 56 * course + 4 * course * one.trial.epochs]


def test_whoever_is_to_stop_does_not_wait_for_a_measurement(data: DeviceData, tmp_path: Path) -> None:
    asked: list[None] = []

    def heed() -> None:
        asked.append(None)
        if len(asked) > 3:
            raise Interrupted("cancelled", "The sweep was cancelled.")

    with pytest.raises(Interrupted):
        Room.of([member("mlp")], data, width="auto", paces=Paces(tmp_path), heed=heed)
    assert len(asked) == 4
