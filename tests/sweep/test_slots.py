"""A slot's state, by the attempts that were made at it."""

from collections.abc import Sequence

import pytest

from sweep.choices import LossChoice
from sweep.plan import StudyPlan
from sweep.slots import Attempt, Slot, SlotState, has_ended, progress

from .conftest import attempt

PLAN = StudyPlan(scenario=0, loss=LossChoice(name="adaptive"), space={"alpha": [0.1, 0.2]}, numbers=range(9))
WAITS, RUNS = attempt(waits=True), attempt()
LOST, STOPPED = attempt("lost"), attempt("stopped")


def slot(attempts: Sequence[Attempt], *, max_retry: int = 1, is_wanted: bool = True) -> Slot:
    return Slot(number=0, plan=PLAN, attempts=tuple(attempts), max_retry=max_retry, is_wanted=is_wanted)


@pytest.mark.parametrize(
    ("attempts", "max_retry", "state", "is_due"),
    [
        ([], 1, "waiting", False),
        ([WAITS], 1, "waiting", False),
        ([RUNS], 1, "running", False),
        ([attempt("complete")], 1, "complete", False),
        ([attempt("pruned")], 1, "pruned", False),
        ([attempt("failed")], 1, "failed", False),
        ([attempt("cancelled")], 1, "cancelled", False),
        ([LOST], 1, "waiting", True),
        ([LOST, WAITS], 1, "waiting", False),
        ([LOST, LOST], 1, "failed", False),
        ([LOST], 0, "failed", False),
        ([STOPPED], 0, "waiting", True),
        ([STOPPED] * 9, 1, "waiting", True),
        ([LOST, STOPPED], 1, "waiting", True),
        ([LOST, RUNS], 1, "running", False),
        ([LOST, attempt("complete")], 1, "complete", False),
    ],
)  # fmt: skip
def test_the_last_attempt_speaks_for_the_slot(
    attempts: list[Attempt], max_retry: int, state: SlotState, is_due: bool
) -> None:
    found = slot(attempts, max_retry=max_retry)
    assert (found.state, found.is_due) == (state, is_due)
    assert found.last is (attempts[-1] if attempts else None)


@pytest.mark.parametrize("later", [attempt(waits=True), attempt(), STOPPED, attempt("complete")])
@pytest.mark.parametrize(
    ("before", "state"),
    [
        ([WAITS], "waiting"), ([RUNS], "running"), ([LOST, attempt("complete")], "complete"),
        ([attempt("pruned")], "pruned"),
    ],
)  # fmt: skip
def test_an_attempt_that_was_queued_by_mistake_does_not_speak_for_the_slot(
    before: list[Attempt], state: SlotState, later: Attempt
) -> None:
    found = slot([*before, later])
    assert (found.state, found.is_due, found.last) == (state, False, before[-1])
    assert found.doubles == ([later] if later.outcome is None else [])
    assert slot([LOST, later]).last is later


@pytest.mark.parametrize(
    ("attempts", "state"), [([], "cancelled"), ([LOST], "failed"), ([STOPPED], "cancelled"), ([RUNS], "running")]
)
def test_nothing_is_owed_to_a_sweep_that_is_cancelled(attempts: list[Attempt], state: SlotState) -> None:
    found = slot(attempts, is_wanted=False)
    assert (found.state, found.is_due) == (state, False)


def test_the_point_of_a_slot_is_whole_once_it_was_suggested() -> None:
    assert slot([]).params == {"alpha": 0.01, "label_smoothing": 0.0}
    tried = [attempt("lost", params={"alpha": 0.1}), attempt(params={"alpha": 0.2})]
    assert slot(tried).params == {"alpha": 0.2, "label_smoothing": 0.0}


def test_progress_counts_every_state() -> None:
    slots = [slot([]), slot([WAITS]), slot([RUNS]), slot([LOST]), slot([attempt("pruned")]), slot([attempt("failed")])]
    counts = progress(slots)
    assert counts == {"total": 6, "waiting": 3, "running": 1, "complete": 0, "pruned": 1, "failed": 1, "cancelled": 0}
    assert not has_ended(counts)
    assert has_ended(progress(slots[4:]))
    assert not has_ended(progress([slot([RUNS])]))
