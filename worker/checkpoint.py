"""A trial between two epochs, as a file of its run: whoever follows a worker that was lost goes on from there."""

import io
import logging
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Self

import torch

from sweep.errors import NotFound, Unavailable
from sweep.split import index_hash
from sweep.tracking import Tracking

from .attempt import Attempt
from .observation import Kept
from .training.trace import State
from .training.trainer import Training
from .training.trial import Member

CHECKPOINT = "checkpoint.pt"
_log = logging.getLogger(__name__)


@dataclass(frozen=True, eq=False, slots=True, kw_only=True)
class Checkpoint:
    """What a trial's replicates are after an epoch, and what was seen of them until then."""

    trial: Sequence[str]
    """Of what it is, one line a replicate."""
    states: Sequence[State]
    kept: Kept

    def as_bytes(self) -> bytes:
        """Tensors, numbers and texts, in torch's format."""
        states = [
            {"epochs_K": state.epochs_K, "tensors": dict(state.tensors), "streams": list(state.streams)}
            for state in self.states
        ]
        buffer = io.BytesIO()
        torch.save({"trial": list(self.trial), "states": states, "kept": self.kept}, buffer)
        return buffer.getvalue()

    @classmethod
    def from_bytes(cls, content: bytes) -> Self:
        """Reads nothing that could run: `weights_only`. Raises whatever torch raises of another file."""
        found: dict[str, Any] = torch.load(io.BytesIO(content), weights_only=True, map_location="cpu")
        states = [State(**state) for state in found["states"]]
        return cls(trial=found["trial"], states=states, kept=found["kept"])


class Checkpoints:
    """Checkpoints of long trials, in MLflow, which every worker reaches; a trial that is quick has none."""

    def __init__(self, tracking: Tracking, tracking_once: Tracking, *, every_s: float) -> None:
        """`every_s` is how long a trial is trained before its first and between two, which are tried once only."""
        self._tracking, self._tracking_once, self._every_s = tracking, tracking_once, every_s
        self._since: dict[str, float] = {}

    def keep(self, attempt: Attempt, training: Training) -> None:
        """Keeps the attempt as it is after this epoch, where it is time; that MLflow is away costs this one only."""
        now = time.monotonic()
        if now - self._since.setdefault(attempt.run_id, now) < self._every_s:
            return
        self._since[attempt.run_id] = now
        checkpoint = Checkpoint(
            trial=_trial(attempt.members),
            states=training.states(attempt.positions),
            kept=attempt.observation.kept(),
        )
        try:
            self._tracking_once.add_artifacts(attempt.run_id, {CHECKPOINT: checkpoint.as_bytes()})
        except Unavailable as error:
            _log.warning(
                "no checkpoint", extra={"action": "no_checkpoint", "run": attempt.run_id, "reason": str(error)}
            )

    def resumed(self, attempt: Attempt) -> Attempt:
        """The attempt, going on from where the one that it follows had come to, if that is known; its run tells all."""
        found = self._before(attempt.claim.follows)
        if found is None or list(found.trial) != _trial(attempt.members):
            return attempt
        for epoch, metrics in attempt.observation.resume(found.kept):
            self._tracking.log(attempt.run_id, metrics, step=epoch)
        _log.info("goes on", extra={"action": "goes_on", "trial": attempt.claim.number, "run": attempt.run_id})
        return replace(attempt, states=found.states)

    def _before(self, run_id: str | None) -> Checkpoint | None:
        if run_id is None:
            return None
        try:
            return Checkpoint.from_bytes(self._tracking_once.artifact(run_id, CHECKPOINT))
        except (NotFound, Unavailable):
            return None
        except Exception:  # half a file, or one of another version
            _log.warning("checkpoint left", exc_info=True, extra={"action": "checkpoint_left", "run": run_id})
            return None


def _trial(members: Sequence[Member]) -> list[str]:
    return [
        f"{member.trial} seed {member.seed} rows {index_hash(member.train_index)} {index_hash(member.validation_index)}"
        for member in members
    ]
