"""The queue in plain Python: what each slot is, who holds it, what the sweep wants, and whether it has ended.

What a process does is an iterator of writes, in the order in which it does them, each a function that is called when
the write is done: so a process may die before any of them.
"""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial

MAX_RETRY = 1
STATES = ("waiting", "running", "complete", "pruned", "failed", "cancelled")
Write = Callable[[], None]
Writes = Iterator[Write]


@dataclass
class ModelSlot:
    """A slot: `state` is one of STATES, "unlaid", or "owed" once an attempt was lost that is to be replaced."""

    number: int
    study: int
    state: str = "unlaid"
    holder: str | None = None
    """Of a running attempt; None where its claimant died before it wrote its name."""
    outcomes: list[str] = field(default_factory=list)
    """Of the attempts that have ended."""
    lost: int = 0
    """Attempts that were lost since a user asked to try again."""
    value: float | None = None
    seen_nameless: set[str] = field(default_factory=set)
    """The processes that have seen the running attempt without a name."""
    long_nameless: set[str] = field(default_factory=set)
    """Those of them that have known it so for longer than the grace."""

    def wait(self) -> None:
        """An attempt is queued."""
        self.state = "waiting"

    def take(self) -> None:
        """A worker takes the attempt that waits, and has not written its name yet."""
        self.state = "running"
        self.seen_nameless, self.long_nameless = set(), set()

    def name(self, worker: str) -> None:
        """The worker writes its name."""
        self.holder = worker

    def end(self, outcome: str, value: float | None = None) -> None:
        """The attempt ends."""
        self.outcomes.append(outcome)
        self.holder, self.value = None, value
        self.lost += outcome == "lost"
        is_owed = outcome == "stopped" or (outcome == "lost" and self.lost <= MAX_RETRY)
        self.state = "owed" if is_owed else "failed" if outcome == "lost" else outcome

    def retry(self) -> None:
        """A user asked to try again."""
        self.lost = 0
        self.wait()

    def shown(self, wanted: str) -> str:
        """The state that users see, while `wanted` is wanted of the sweep."""
        if self.state not in ("unlaid", "owed"):
            return self.state
        if wanted != "cancel":
            return "waiting"
        return "failed" if self.outcomes and self.outcomes[-1] == "lost" else "cancelled"


@dataclass
class ModelSweep:
    """A sweep and its slots; of a study no more than `most` are in training at once."""

    id: str
    slots: list[ModelSlot]
    most: float
    wanted: str = "run"
    state: str | None = None
    """Once it has ended."""
    progress: dict[str, int] | None = None
    """Once it has ended."""

    def counts(self) -> dict[str, int]:
        """How many slots there are in all and in each state."""
        shown = [slot.shown(self.wanted) for slot in self.slots]
        return {"total": len(shown), **{state: shown.count(state) for state in STATES}}

    def want(self, wanted: str, *, instead_of: tuple[str, ...]) -> bool:
        """True where it is wanted from now on."""
        is_taken = self.state is None and self.wanted in instead_of
        self.wanted = wanted if is_taken else self.wanted
        return is_taken

    def due(self, *, width: int, workers: int) -> list[ModelSlot]:
        """What a claim of one that trains nothing gets: the first waiting slots of the first study, to its share."""
        for study in sorted({slot.study for slot in self.slots}):
            waiting = [slot for slot in self.slots if (slot.study, slot.state) == (study, "waiting")]
            running = [slot for slot in self.slots if (slot.study, slot.state) == (study, "running")]
            share = math.ceil(min(len(waiting) + len(running), self.most) / workers)
            room = int(min(width, share, self.most - len(running)))
            if waiting and room > 0:
                return waiting[:room]
        return []

    def look(self, is_gone: Callable[[ModelSlot], bool]) -> Writes:
        """A look of the reconciler, to which the attempts of those slots are lost that `is_gone` says."""
        if self.state is not None:
            return
        for slot in self.slots:
            if slot.state == "running" and is_gone(slot):
                yield partial(slot.end, "lost")
        if self.wanted == "cancel":
            yield from self._cancel_waiting()
        else:
            for before in ("unlaid", "owed"):
                for slot in self.slots:
                    if slot.state == before:
                        yield slot.wait
        counts = self.counts()
        if counts["waiting"] == counts["running"] == 0:
            yield self._close

    def cancel(self) -> Writes:
        """The sweep is cancelled: whatever waits ends."""
        yield partial(setattr, self, "wanted", "cancel")
        yield from self._cancel_waiting()

    def _cancel_waiting(self) -> Writes:
        for slot in self.slots:
            if slot.state == "waiting":
                yield partial(slot.end, "cancelled")

    def retry(self) -> Writes:
        """What failed is tried again."""
        failed = [slot for slot in self.slots if slot.state == "failed"]
        if self.state is not None:
            yield self._reopen
        for slot in failed:
            yield slot.retry

    @property
    def refuses_retry(self) -> bool:
        """True where there is nothing to try again."""
        return self.wanted == "cancel" or not self.counts()["failed"]

    def _close(self) -> None:
        self.progress = self.counts()
        well = "finished" if self.progress["complete"] else "failed"
        self.state = "cancelled" if self.wanted == "cancel" else well

    def _reopen(self) -> None:
        self.wanted, self.state, self.progress = "run", None, None


def done(writes: Writes, *, before: int | None) -> bool:
    """Does writes until the `before`-th, counted from 1, before which the process dies; True where it dies."""
    for at, write in enumerate(writes, 1):
        if at == before:
            return True
        write()
    return False


def claimed(due: list[ModelSlot], worker: str) -> Writes:
    """A claim: each slot is taken, named and given its point, and then the run of each is noted."""
    for slot in due:
        yield slot.take
        yield partial(slot.name, worker)
        yield _nothing
    for _ in due:
        yield _nothing


def _nothing() -> None:
    """A write that the model does not keep."""
