"""A trial between two epochs, as a file of its run: whoever follows a worker that was lost goes on from there."""

import io
import logging
import threading
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, Self

import torch

from sweep.errors import NotFound
from sweep.parts import Parts
from sweep.studies import Claim

from .attempt import Attempt
from .courier import Courier
from .observation import Kept
from .training.memory import while_memory_lasts
from .training.trace import State
from .training.trainer import Training

CHECKPOINT = "checkpoint.pt"
_ASKS_AT_ONCE = 8
_WAITS_S = 5.0
"""For checkpoints in all: they come in well under a second each, and a cancellation is heeded within ten."""
_ASKS_AGAIN_S = 60.0
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

    def __init__(self, parts: Parts, courier: Courier, *, every_s: float) -> None:
        """`every_s` is how long a trial is trained before its first checkpoint and between two."""
        self._tracking, self._studies, self._courier = parts.tracking_once, parts.studies, courier
        self._every_s = every_s
        self._since: dict[int, float] = {}
        self._found: dict[str, bytes] = {}
        """By run, what was fetched and nobody went on from yet."""
        self._asks_from = 0.0

    def fetch(self, claims: Sequence[Claim]) -> None:
        """Fetches what claims may go on from, all at once and for a few seconds, since the training waits for it.

        What does not come in time is begun anew, and then none is asked for during a minute.
        """
        runs = {claim.follows: claim for claim in claims if claim.follows}
        self._found = {}
        if not runs or time.monotonic() < self._asks_from:
            return
        found: dict[str, bytes] = {}
        left = iter(runs.items())
        threads = [
            threading.Thread(target=self._ask, args=(left, found), daemon=True)
            for _ in range(min(len(runs), _ASKS_AT_ONCE))
        ]
        for thread in threads:
            thread.start()
        until = time.monotonic() + _WAITS_S
        for thread in threads:
            thread.join(max(until - time.monotonic(), 0))
        if any(thread.is_alive() for thread in threads):
            self._asks_from = time.monotonic() + _ASKS_AGAIN_S
            list(left)  # nobody asks for the rest of them
            for run_id, claim in runs.items():
                if run_id not in found:
                    facts = self._courier.facts(claim) | {"action": "no_checkpoint_in_time", "follows": run_id}
                    _log.warning("no checkpoint in time", extra=facts)
        self._found = dict(found)

    def keep(self, attempts: Iterable[Attempt], training: Training, *, leaving: bool = False) -> None:
        """Keeps attempts as they are after this epoch, where it is time; who cannot be kept goes on all the same.

        As the worker leaves it is time after a tenth of what it is otherwise.
        """
        every_s = self._every_s / 10 if leaving else self._every_s
        for attempt in attempts:
            since = self._since[attempt.claim.attempt]
            if attempt.observation.has_epochs and time.monotonic() - since >= every_s:
                self._since[attempt.claim.attempt] = time.monotonic()
                with while_memory_lasts():
                    states = training.states(attempt.positions)
                    kept = attempt.observation.kept()
                    content = Checkpoint(trial=attempt.journal.trial, states=states, kept=kept).as_bytes()
                    self._courier.keep(attempt.journal, {CHECKPOINT: content})
                    continue
                _log.warning("no checkpoint", extra=self._courier.facts(attempt.claim) | {"action": "no_checkpoint"})

    def resumed(self, attempt: Attempt) -> Attempt:
        """The attempt, going on from where the one that it follows had come to, if that is known.

        Its journal and its study are told of every epoch before, and it keeps the checkpoint for whoever may follow it.
        """
        self._since[attempt.claim.attempt] = time.monotonic()
        follows = attempt.claim.follows
        content = self._found.pop(follows, None) if follows else None
        if content is None:
            return attempt
        facts = self._courier.facts(attempt.claim) | {"follows": follows}
        try:
            found = Checkpoint.from_bytes(content)
            if list(found.trial) != list(attempt.journal.trial):
                return attempt
            epochs = attempt.observation.resume(found.kept)
        except Exception:  # half a file, or one of another version
            _log.warning("checkpoint left", exc_info=True, extra=facts | {"action": "checkpoint_left"})
            return attempt
        self._courier.keep(attempt.journal, {CHECKPOINT: content})
        for epoch, metrics, value in epochs:
            attempt.journal.log(metrics, step=epoch)
            self._studies.should_prune(attempt.claim, epoch=epoch, value=value)  # it was asked then, and went on
        _log.info("goes on", extra=facts | {"action": "goes_on"})
        return replace(attempt, states=found.states)

    def _ask(self, runs: Iterator[tuple[str, Claim]], found: dict[str, bytes]) -> None:
        for run_id, claim in runs:
            try:
                found[run_id] = self._tracking.artifact(run_id, CHECKPOINT)
            except NotFound:  # it was quick
                continue
            except Exception as error:  # MLflow is away, or breaks off in the middle of a file
                facts = {"action": "checkpoint_left", "follows": run_id, "reason": str(error)}
                _log.warning("checkpoint left", extra=self._courier.facts(claim) | facts)
                return
