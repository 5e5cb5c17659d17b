"""The aftermath itself: what is doubled or lost is counted, not only ruled out."""

from types import SimpleNamespace
from typing import Any, cast

import httpx
import pytest

from sweep.plan import StudyPlan
from sweep.slots import Attempt, Outcome, Slot
from sweep.store import Sweep

from .aftermath import check
from .plant import Plant


def test_trials_that_ended_well_twice_or_not_at_all_are_counted_before_anything_is_judged() -> None:
    slots = [_slot(0, "complete", "complete"), _slot(1, "lost", "pruned"), _slot(2, "complete"), _slot(3, "lost", None)]
    runs = [_run(0), _run(0), _run(1), _run(2), _run(2)]
    sweep = cast(Sweep, SimpleNamespace(id="s", experiment_id="1"))
    store = SimpleNamespace(get=lambda _: sweep)
    plant = SimpleNamespace(kills=7, parts=SimpleNamespace(store=store), slots=lambda _: slots)
    answer = httpx.MockTransport(lambda _: httpx.Response(200, json={"runs": runs}))
    with (
        httpx.Client(transport=answer, base_url="http://mlflow") as mlflow,
        pytest.raises(AssertionError, match=r"kills=7, trials=4, lost_attempts=2, doubled=2, lost=1"),
    ):
        check(cast(Plant, plant), [sweep], mlflow)


def _slot(number: int, *outcomes: Outcome | None) -> Slot:
    attempts = tuple(
        Attempt(
            trial_id=0, worker="w", started_at=None, ended_at=None, waits=False, outcome=outcome, reason=None,
            params={}, value=None, replicates=(), run_id=None,
        )
        for outcome in outcomes
    )  # fmt: skip
    return Slot(number=number, plan=cast(StudyPlan, None), attempts=attempts, max_retry=3, is_wanted=True)


def _run(number: int) -> dict[str, Any]:
    tag = {"key": "evenhand.trial", "value": str(number)}
    return {"info": {"status": "FINISHED", "run_id": "r"}, "data": {"tags": [tag]}}
