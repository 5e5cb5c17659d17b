"""Slots and their attempts, as read from Optuna's storage: what happened to each trial number of a sweep."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Literal, TypedDict

from .plan import StudyPlan, fixed_params

SlotState = Literal["waiting", "running", "complete", "pruned", "failed", "cancelled"]
Outcome = Literal["complete", "pruned", "failed", "cancelled", "lost", "stopped"]
SLOT_STATES: tuple[SlotState, ...] = ("waiting", "running", "complete", "pruned", "failed", "cancelled")
_REQUEUED: frozenset[Outcome] = frozenset({"lost", "stopped"})
"""Ends that are nobody's fault but the worker's: it died, or it was asked to leave."""
_SPEAKING: frozenset[Outcome | None] = frozenset({None, "complete", "pruned"})
"""Of an attempt that lives or has done its slot: no later one counts."""


class Replicate(TypedDict):
    """What one seed of a trial gave; metrics by name, `recall/<class>` among them."""

    seed: int
    value: float
    validation: dict[str, float]
    test: dict[str, float]


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempt:
    """One try at a slot: an Optuna trial."""

    trial_id: int
    """Of Optuna's storage."""
    worker: str | None
    started_at: datetime | None
    ended_at: datetime | None
    waits: bool
    outcome: Outcome | None
    """None while it waits or runs."""
    reason: str | None
    params: Mapping[str, float]
    value: float | None
    replicates: Sequence[Replicate]
    run_id: str | None
    """The MLflow run of this attempt."""
    asked: bool = False
    """True where a user asked to try again what had failed."""

    @property
    def runs(self) -> bool:
        """True from the claim to the end."""
        return not self.waits and self.outcome is None


@dataclass(frozen=True, slots=True, kw_only=True)
class Slot:
    """A trial number of the sweep with its attempts, the earliest first."""

    number: int
    plan: StudyPlan
    attempts: tuple[Attempt, ...]
    max_retry: int
    """How many lost attempts are replaced."""
    is_wanted: bool
    """False where the sweep is cancelled: then nothing is tried again, or at all."""

    @property
    def state(self) -> SlotState:
        """The trial's state as users see it; a lost attempt that will be replaced leaves its slot waiting."""
        if self.last is None:
            return "waiting" if self.is_wanted else "cancelled"
        if self.last.waits or self.is_due:
            return "waiting"
        outcome = self.last.outcome
        if outcome is None:
            return "running"
        if outcome == "stopped":
            return "cancelled"
        return "failed" if outcome == "lost" else outcome

    @property
    def is_due(self) -> bool:
        """True where the last attempt was lost or stopped, and another one is owed."""
        if not self.is_wanted or self.last is None or self.last.outcome not in _REQUEUED:
            return False
        since = max((at for at, attempt in enumerate(self.attempts) if attempt.asked), default=0)
        return sum(attempt.outcome == "lost" for attempt in self.attempts[since:]) <= self.max_retry

    @property
    def last(self) -> Attempt | None:
        """The attempt that speaks for the slot: the last one, as nothing is queued after one that lives or has done it.

        Where something was by mistake (`doubles`), it is the first of these.
        """
        speaking = (attempt for attempt in self.attempts if attempt.outcome in _SPEAKING)
        return next(speaking, self.attempts[-1] if self.attempts else None)

    @property
    def doubles(self) -> list[Attempt]:
        """Attempts that live though an earlier one lives or has done the slot."""
        return [attempt for attempt in self.attempts if attempt.outcome is None and attempt is not self.last]

    @property
    def params(self) -> dict[str, float | str]:
        """The whole point: the loss's defaults, what the sweep fixes, what Optuna suggested."""
        return fixed_params(self.plan.loss, self.plan.space) | dict(self.last.params if self.last else {})


def progress(slots: Sequence[Slot]) -> dict[str, int]:
    """How many trials there are in all and in each state."""
    states = [slot.state for slot in slots]
    return {"total": len(slots), **{state: states.count(state) for state in SLOT_STATES}}


def has_ended(counts: Mapping[str, int]) -> bool:
    """True where no trial waits or runs any more."""
    return counts["waiting"] == 0 and counts["running"] == 0
