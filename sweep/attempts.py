"""An attempt as Optuna's storage has it."""

from collections.abc import Mapping
from datetime import UTC, datetime

from optuna.trial import FrozenTrial, TrialState

from .slots import Attempt, Outcome

_OUTCOMES: Mapping[TrialState, Outcome] = {TrialState.COMPLETE: "complete", TrialState.PRUNED: "pruned"}


def attempt_of(trial: FrozenTrial) -> Attempt:
    """The attempt that an Optuna trial of ours is."""
    attrs = trial.user_attrs
    ended = trial.state.is_finished()
    return Attempt(
        trial_id=trial._trial_id,
        worker=attrs.get("worker"),
        started_at=_utc(trial.datetime_start),
        ended_at=_utc(trial.datetime_complete),
        waits=trial.state == TrialState.WAITING,
        outcome=_OUTCOMES.get(trial.state, attrs.get("outcome", "failed")) if ended else None,
        # Who was about to give it up wrote the reason first, and then found it complete.
        reason=None if trial.state == TrialState.COMPLETE else attrs.get("reason"),
        # A worker that died between two suggestions leaves but a part of the point.
        params={**trial.system_attrs.get("fixed_params", {}), **trial.params},
        value=trial.value if trial.state == TrialState.COMPLETE else None,
        replicates=attrs.get("replicates", []),
        run_id=attrs.get("run_id"),
        asked=attrs.get("asked", False),
    )


def _utc(moment: datetime | None) -> datetime | None:
    """Optuna keeps local times without a zone."""
    return moment.astimezone(UTC) if moment else None
