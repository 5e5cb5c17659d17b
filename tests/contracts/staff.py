"""Three workers and an API on the queue, what each of them holds, and the same in the model."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import pytest
from hypothesis.stateful import RuleBasedStateMachine

from sweep.errors import LateTell
from sweep.slots import Outcome
from sweep.store import Sweep
from sweep.studies import Claim
from sweep.tracking import RUN_STATUSES

from ..sweep.conftest import replicates
from .model import ModelSlot, ModelSweep, Writes, claimed, done
from .mortal import House

SEATS = ("ann", "bob", "cid")
_REASON = "It rained."


@dataclass
class Held:
    """A claim that a worker believes it holds."""

    claim: Claim
    run_id: str
    sweep: ModelSweep
    slot: ModelSlot
    attempt: int

    @property
    def is_late(self) -> bool:
        """True where it was taken back."""
        return self.slot.state != "running" or len(self.slot.outcomes) != self.attempt


class Staff(RuleBasedStateMachine):
    """What workers do, without rules. A seat is a worker of which the name changes each time it dies."""

    def __init__(self, house: House) -> None:
        super().__init__()
        self.house, self.api = house, house.processes["api"]
        self.models: list[ModelSweep] = []
        self.answered: set[str] = set()
        """The sweeps of which a cancellation was answered."""
        self.names: dict[str, str | None] = dict.fromkeys(SEATS)
        self.alive: dict[str, bool] = {}
        """By worker's name, whether its last sign of life is young enough."""
        self.held: dict[str, list[Held]] = {seat: [] for seat in SEATS}
        self.read: dict[str, list[tuple[Sweep, ModelSweep]]] = {seat: [] for seat in SEATS}
        """The open sweeps as each worker read them the last time."""
        self.told: dict[tuple[str, int], float] = {}
        """By sweep and slot, the values that were told."""

    def act(self, seat: str, work: Callable[[], object], writes: Writes, dies_before: int | None) -> bool:
        """Does some work and its writes in the model; True where the process died in the midst of it."""
        died = self.house.processes[seat].dies(work, before=dies_before)
        assert done(writes, before=dies_before) == died, "the process and its model write alike"
        if died:
            self.house.seen["deaths at work"] += 1
            self.die(seat)
        return died

    def present(self, seat: str) -> str:
        """The name of the worker, who comes if nobody is there, and then gives its first sign of life."""
        name = self.names[seat]
        if name is None:
            name = self.names[seat] = f"{seat}-{len(self.alive)}"
            self.beat_as(seat, name)
        return name

    def beat_as(self, seat: str, name: str) -> None:
        self.house.processes[seat].store.beat(name)
        self.alive[name] = True

    def die(self, seat: str) -> None:
        """Forgets what the process held in mind; its last sign of life stays."""
        if seat in self.names:
            self.names[seat], self.held[seat], self.read[seat] = None, [], []

    def claim_as(
        self, seat: str, *, width: int, workers: int = 1, looks_anew: bool = True, dies_before: int | None = None
    ) -> None:
        """Claims as the worker's loop does, of the first sweep that has work, by what it has read of them."""
        name, process, ledger = self.present(seat), self.house.processes[seat], self.house.ledger
        if looks_anew or not self.read[seat]:
            models = {model.id: model for model in self.models}
            self.read[seat] = [(sweep, models[sweep.id]) for sweep in process.store.open_sweeps()]
            assert [model for _, model in self.read[seat]] == [model for model in self.models if model.state is None]
        wanted = [(sweep, model) for sweep, model in self.read[seat] if sweep.wanted == "run"]
        found = ((model, model.due(width=width, workers=workers)) for _, model in wanted)
        model, due = next(((model, due) for model, due in found if due), (None, []))
        attempts = [len(slot.outcomes) for slot in due]
        taken: list[tuple[Claim, str]] = []

        def work() -> None:
            for sweep, _ in wanted:
                if claims := process.studies.claim(sweep, worker=name, width=width, workers=workers):
                    process.store.set_experiment(sweep.id, ledger.experiment(sweep))
                    for claim in claims:
                        run_id = ledger.start(sweep.id)
                        process.studies.note_run(claim, run_id)
                        taken.append((claim, run_id))
                    return

        self.house.seen["claims"] += bool(due)
        if not self.act(seat, work, claimed(due, name), dies_before):
            assert [claim.number for claim, _ in taken] == [slot.number for slot in due]
            for (claim, run_id), slot, attempt in zip(taken, due, attempts, strict=True):
                assert model is not None and model.id not in self.answered, "a cancelled sweep gives nothing away"
                self.held[seat].append(Held(claim, run_id, model, slot, attempt))

    def take_from(self, pick: int, *, late: bool = False) -> tuple[str, Held]:
        """One of all the claims that workers believe they hold, of the late ones if asked, out of its hands."""
        claims = [(seat, at) for seat in SEATS for at, one in enumerate(self.held[seat]) if one.is_late or not late]
        seat, at = claims[pick % len(claims)]
        return seat, self.held[seat].pop(at)

    def tell_as(
        self, seat: str, held: Held, outcome: Outcome, value: float = 0.0, *, again: bool = False, run_ends: bool = True
    ) -> None:
        """Tells of a claim, twice where `again`; refused where it was taken back."""
        studies, claim = self.house.processes[seat].studies, held.claim
        is_complete = outcome == "complete"
        tell: Callable[[], None] = partial(studies.give_up, claim, outcome=outcome, reason=_REASON)
        if is_complete:
            tell = partial(studies.complete, claim, value=value, replicates=replicates([value]))
        if held.is_late:
            self.house.seen["late tells"] += 1
            late = (
                tell,
                partial(studies.note_run, claim, "late"),
                partial(studies.should_prune, claim, epoch=1, value=1),
            )
            for call in late:
                with pytest.raises(LateTell):
                    call()
            self.house.ledger.end(held.run_id, "KILLED", reason=_REASON)
            return
        tell()
        held.slot.end(outcome, value if is_complete else None)
        self.house.seen["tells"] += 1
        if is_complete:
            self.told[held.sweep.id, held.slot.number] = value
        if again:
            tell()
        if run_ends:
            self.house.ledger.end(held.run_id, RUN_STATUSES[outcome], reason=None if is_complete else _REASON)

    def outlast(self) -> None:
        """Whoever knew a running attempt without a name has known it for longer than the grace."""
        for process in self.house.processes.values():
            process.outlast_the_nameless()
        for model in self.models:
            for slot in model.slots:
                slot.long_nameless |= slot.seen_nameless

    def silence(self, name: str) -> None:
        """A worker's last sign of life is older than the grace."""
        self.api.fall_silent(name)
        self.alive[name] = False
