"""What holds of a queue at any moment, by its attempts alone; and that it is what the model says."""

from collections.abc import Mapping, MutableMapping, Sequence

from sweep.slots import Slot, progress
from sweep.store import Sweep
from sweep.tracking import RUN_STATUSES

from .model import MAX_RETRY, ModelSweep

Place = tuple[str, int]
"""A sweep and the number of a slot."""


def check_promises(
    sweep: Sweep, slots: Sequence[Slot], *, points: MutableMapping[Place, Mapping[str, float]],
    told: Mapping[Place, float], takes_nothing: bool,
) -> None:  # fmt: skip
    """Each slot comes to one end, at one point; `points` learns the points, `told` are the values that were taken."""
    for slot in slots:
        where, attempts = (sweep.id, slot.number), slot.attempts
        alive = [attempt for attempt in attempts if attempt.waits or attempt.runs]
        complete = [attempt for attempt in attempts if attempt.outcome == "complete"]
        assert alive in ([], list(attempts[-1:])), f"{where}: none but the last attempt waits or runs"
        assert complete in ([], list(attempts[-1:])), f"{where}: nothing follows a complete attempt"
        assert [attempt.value for attempt in complete] == ([told[where]] if where in told else []), where
        assert not (takes_nothing and any(attempt.waits for attempt in attempts)), f"{where}: cancelled, and waits"
        for attempt in attempts:
            assert attempt.outcome in (None, "complete") or attempt.reason, f"{where}: an end without a reason"
            if attempt.params:
                assert attempt.params == points.setdefault(where, attempt.params), f"{where}: another point"
        since = max((at for at, attempt in enumerate(attempts) if attempt.asked), default=0)
        lost = sum(attempt.outcome == "lost" for attempt in attempts[since:])
        assert lost <= MAX_RETRY + 1, f"{where}: tried again too often"
        assert lost <= MAX_RETRY or (slot.state == "failed" and attempts[-1].outcome == "lost"), where


def check_agreement(sweep: Sweep, slots: Sequence[Slot], model: ModelSweep) -> None:
    """Slots, progress, and what the sweep wants and came to are the model's."""
    assert [_shown(slot) for slot in slots] == [
        (
            slot.number, slot.shown(model.wanted), slot.state in ("waiting", "running"), slot.holder, slot.outcomes,
            slot.value,
        )
        for slot in model.slots
    ]  # fmt: skip
    assert progress(slots) == model.counts()
    assert (sweep.wanted, sweep.state, sweep.progress) == (model.wanted, model.state, model.progress)
    assert (sweep.ended_at is not None) == (model.state is not None)


def check_has_work(sweep: Sweep, slots: Sequence[Slot]) -> None:
    """A sweep that was looked at has an attempt that waits or runs, or it has ended."""
    attempts = [attempt for slot in slots for attempt in slot.attempts]
    assert sweep.ended_at is not None or any(attempt.waits or attempt.runs for attempt in attempts)


def check_runs(slots: Sequence[Slot], statuses: Mapping[str, str]) -> None:
    """The runs of a sweep that has ended are as its attempts are, and none is left RUNNING."""
    owned = {attempt.run_id: attempt.outcome for slot in slots for attempt in slot.attempts if attempt.run_id}
    expected = {run_id: RUN_STATUSES.get(owned.get(run_id), "KILLED") for run_id in statuses}
    assert statuses == expected
    assert owned.keys() <= statuses.keys()


def _shown(slot: Slot) -> tuple[object, ...]:
    last = slot.last
    return (
        slot.number,
        slot.state,
        last is not None and (last.waits or last.runs),
        last.worker if last is not None and last.runs else None,
        [attempt.outcome for attempt in slot.attempts if attempt.outcome],
        last.value if last is not None else None,
    )
