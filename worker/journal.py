"""What MLflow is to have of one attempt: gathered while it is trained, and whole once it has ended."""

import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from sweep.slots import Outcome, Replicate
from sweep.store import Sweep
from sweep.studies import Claim
from sweep.tracking import Point


@dataclass(frozen=True, eq=False, slots=True, kw_only=True)
class Record:
    """All there is to say of an attempt that has ended: to MLflow, and its end to the queue."""

    trial: Sequence[str]
    """Of what it is, one line a replicate."""
    params: Mapping[str, object]
    points: Sequence[Point]
    files: Mapping[str, bytes]
    """Artifacts by name."""
    outcome: Outcome
    reason: str | None = None
    value: float | None = None
    replicates: Sequence[Replicate] = ()


@dataclass(eq=False, slots=True, kw_only=True)
class Journal:
    """An attempt's metrics, and how far they have come. The training writes, the courier reads and sends."""

    claim: Claim
    sweep: Sweep
    trial: Sequence[str]
    """Of what it is, one line a replicate."""
    name: str
    """The run's."""
    params: Mapping[str, object]
    tags: Mapping[str, str]
    points: list[Point] = field(default_factory=list)
    files: Mapping[str, bytes] = field(default_factory=dict)
    """What its run is to keep while it is trained, the newest of each name, until it is sent: see `keep`."""
    run_id: str | None = None
    """None until MLflow has its run."""
    is_noted: bool = False
    """Whether the queue knows the run."""
    sent: int = 0
    """How many of the points MLflow has."""
    ended_at: float = 0.0
    """By the process's own clock."""
    sending: threading.Lock = field(default_factory=threading.Lock)
    """Held by the thread that sends of it."""
    _changing: threading.Lock = field(default_factory=threading.Lock)
    """Held while `files` is put in another's place."""

    @property
    def attempt(self) -> int:
        """The attempt's id in the queue."""
        return self.claim.attempt

    def log(self, metrics: Mapping[str, float], *, step: int) -> None:
        """Takes the metrics of one step."""
        now = time.time_ns() // 1_000_000
        self.points += [Point(key, value, step, now) for key, value in metrics.items()]

    def keep(self, files: Mapping[str, bytes]) -> None:
        """Takes files for its run, in place of those of the same names."""
        with self._changing:
            self.files = {**self.files, **files}

    def let_go(self, files: Mapping[str, bytes]) -> None:
        """Drops files that were sent; what took the place of one meanwhile is still to be sent."""
        with self._changing:
            self.files = {name: content for name, content in self.files.items() if content is not files.get(name)}

    def record(
        self, outcome: Outcome, *, files: Mapping[str, bytes], reason: str | None = None, value: float | None = None,
        replicates: Sequence[Replicate] = (),
    ) -> Record:  # fmt: skip
        """All of the attempt, at its end."""
        return Record(
            trial=self.trial, params=self.params, points=self.points, files=files,
            outcome=outcome, reason=reason, value=value, replicates=replicates,
        )  # fmt: skip


def facts(claim: Claim, *, worker: str) -> dict[str, object]:
    """What a line of the log says of an attempt."""
    return {"sweep": claim.sweep, "trial": claim.number, "attempt": claim.attempt, "worker": worker}
