"""A claim in training, and what is seen of it."""

import logging
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal, Self

from sweep.plan import Scenario
from sweep.slots import Outcome
from sweep.split import index_hash
from sweep.store import Sweep
from sweep.studies import Claim

from .journal import Journal, Record, facts
from .observation import Observation
from .pictures import pictures
from .room import Room
from .run_record import run_name, run_params, run_tags
from .training.data import DeviceData
from .training.memory import is_out_of_memory
from .training.record import Evaluation
from .training.trace import State
from .training.trainer import Training
from .training.trial import Member

_FORMAT = 3
"""Of what is kept of a trial, the layout of the models' tensors included: another one is left."""
_log = logging.getLogger(__name__)


class Crowded(Exception):
    """Raised where an attempt has too little memory beside others."""


class TooLarge(Exception):
    """Raised where an attempt has too little memory by itself."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempt:
    """A claim in training; its journal is what MLflow gets of it."""

    members: Sequence[Member]
    observation: Observation
    journal: Journal
    worker: str
    positions: Sequence[int] = ()
    """Where its members are in the training."""
    states: Sequence[State | None]
    """What its members begin with where they go on from a checkpoint, else None."""

    @property
    def claim(self) -> Claim:
        """The claim."""
        return self.journal.claim

    def seated(self, positions: Iterable[int]) -> Self:
        """The attempt with its members at these positions, where they have begun with their states."""
        return replace(self, positions=list(positions), states=[None] * len(self.members))

    def expect(self, found: Sequence[object], training: Training) -> None:
        """Raises where nothing was found of a replicate: it was left out of the training.

        Raises:
            Crowded: if there was too little memory for it beside other attempts.
            TooLarge: if there was too little for it though nobody else was held.
        """
        if len(found) < len(self.positions):
            beside = set[int]().union(*(training.left_out.get(position, ()) for position in self.positions))
            if beside.difference(self.positions):
                raise Crowded("There was too little memory for it beside others; it is tried again.")
            raise TooLarge("Not even a replicate by itself fits; choose a smaller model or batch, or another machine.")

    def complete(
        self, tests: Sequence[Evaluation], *, training: Training, data: DeviceData, classes: Sequence[str], epochs: int
    ) -> Record:
        """All of an attempt that came to its last epoch, with pictures of what its median replicate predicts."""
        found, metrics = self.observation.finish(tests)
        shown = sorted(range(len(found)), key=lambda at: found[at]["value"])[(len(found) - 1) // 2]
        seen = pictures(
            training, self.positions[shown], member=self.members[shown], data=data,
            title=self.observation.title, classes=classes,
        )  # fmt: skip
        files = self.observation.artifacts() | seen
        self.journal.log({**metrics, "value": self.observation.value}, step=epochs)
        return self.journal.record("complete", files=files, value=self.observation.value, replicates=found)

    def ended(self, outcome: Outcome, reason: str) -> Record:
        """All of an attempt that came to no value."""
        files: Mapping[str, bytes] = {}
        if self.observation.has_epochs:
            epoch, metrics = self.observation.left_out
            self.journal.log(metrics, step=epoch)
            try:
                files = self.observation.artifacts()
            except Exception:  # that may be what it fails of
                said = facts(self.claim, worker=self.worker) | {"action": "no_files"}
                _log.warning("no files", exc_info=True, extra=said)
        return self.journal.record(outcome, files=files, reason=reason)


def start_attempt(
    claim: Claim, members: Sequence[Member], *, sweep: Sweep, scenario: Scenario, data: DeviceData, content: str,
    room: Room, curve_points: int, worker: str,
) -> Attempt:  # fmt: skip
    """An attempt at a claim; `content` is the data set's mark, `room` what the training has.

    Of its curves by class MLflow gets at most `curve_points` epochs.
    """
    journal = Journal(
        claim=claim,
        sweep=sweep,
        trial=[_identity(member) for member in members],
        name=run_name(claim, scenario, members[0].trial),
        params=run_params(sweep, scenario, members, data, content=content, room=room),
        tags=run_tags(sweep, claim, worker=worker),
    )
    observation = Observation(
        title=f"{sweep.spec.dataset.name}: {journal.name}",
        classes=sweep.dataset.classes,
        counts=scenario.counts,
        seeds=[member.seed for member in members],
        objective=sweep.spec.objective,
        is_dense=data.train.is_dense,
        epochs=sweep.spec.training.epochs,
        curve_points=curve_points,
    )
    states = [None] * len(members)
    return Attempt(members=members, observation=observation, journal=journal, worker=worker, states=states)


def _identity(member: Member) -> str:
    """What a replicate is: two of the same line come to the same numbers."""
    return (
        f"format {_FORMAT}: {member.trial} seed {member.seed} rows {index_hash(member.train_index)}"
        f" {index_hash(member.validation_index)}"
    )


def outcome_of(error: Exception) -> Literal["failed", "lost"]:
    """How an error ends an attempt: where memory is short it is no trial's fault, and may be enough another time."""
    return "lost" if is_out_of_memory(error) else "failed"
