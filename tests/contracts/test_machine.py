"""Whatever is done to the queue, in any order, it is what a model in plain Python says, on both databases.

Hypothesis chooses the steps. Each example has its sweeps in a database that it shares with the others, and at its end
every sweep comes to an end. EVENHAND_CHAOS_SEED, shown where a test fails, makes it choose the same steps again.
"""

import os
import secrets
from collections.abc import Iterator, Mapping
from typing import Literal

import pytest
from hypothesis import HealthCheck, seed, settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, initialize, precondition, rule, run_state_machine_as_test

from sweep import reconcile
from sweep.database import engine_for, exclusive, migrate
from sweep.datasets import DatasetInfo
from sweep.errors import Conflict
from sweep.slots import Outcome
from sweep.store import PAUSES, DatasetMark, Wanted

from ..conftest import Resolve
from .machine import Machine
from .model import ModelSweep
from .mortal import House, Ledger, Mortal
from .staff import SEATS

SEAT, PICK = st.sampled_from(SEATS), st.integers(0, 20)
WIDTH, OFTEN = st.integers(1, 3), st.sampled_from([True, True, True, False])
DIES_BEFORE = st.sampled_from([None] * 8 + [1, 2, 3, 4, 7])
"""The write before which a process dies, if it comes so far."""
SUBMISSION: Mapping[str, st.SearchStrategy[object]] = {
    "sampler": st.sampled_from(["random", "grid", "qmc", "tpe"]),
    "trials": st.integers(1, 6),
    "scenarios": st.integers(1, 2),
    "rivals": st.sampled_from([0, 0, 1]),
    "dies_before": DIES_BEFORE,
}
MOST_SWEEPS = 3
WISHES = ["pause", "pause_now", "run", "run", "run", "run", "cancel", "retry"]
MANY = 20 * int(os.environ.get("EVENHAND_SOAK", "1"))


class QueueMachine(Machine):
    """A worker that is not there comes, under a new name, by what it is to do."""

    sweeps = Bundle("sweeps")

    @initialize(target=sweeps, **SUBMISSION)
    def begin(self, **submission: object) -> ModelSweep:
        return self.submitted(**submission)  # type: ignore[arg-type]

    @precondition(lambda self: len(self.models) < MOST_SWEEPS and sum(not model.state for model in self.models) < 2)
    @rule(target=sweeps, **SUBMISSION)
    def submit(self, **submission: object) -> ModelSweep:
        return self.submitted(**submission)  # type: ignore[arg-type]

    @rule(sweep=sweeps, wanted=st.sampled_from(WISHES), dies_before=DIES_BEFORE)
    def wish(self, sweep: ModelSweep, wanted: Wanted | Literal["retry"], dies_before: int | None) -> None:
        """Pauses, resumes, cancels or tries again, as far as the API lets people."""
        if wanted == "cancel" and sweep.state is None:
            self.cancel_as_the_api(sweep, dies_before)
        elif wanted != "retry":
            instead_of: tuple[Wanted, ...] = PAUSES if wanted == "run" else ("run", *PAUSES)
            is_taken = sweep.want(wanted, instead_of=instead_of)
            assert self.api.store.want(sweep.id, wanted, instead_of=instead_of) is is_taken
        elif sweep.refuses_retry:
            with pytest.raises(Conflict):
                self.api.reconciler("api").retry(self.api.store.get(sweep.id))

    @precondition(lambda self: any(not sweep.refuses_retry for sweep in self.models))
    @rule(pick=PICK, dies_before=st.sampled_from([None, None, 1, 2, 3]))
    def retry(self, pick: int, dies_before: int | None) -> None:
        failed = [sweep for sweep in self.models if not sweep.refuses_retry]
        sweep = failed[pick % len(failed)]
        reconciler, found = self.api.reconciler("api"), self.api.store.get(sweep.id)
        self.act("api", lambda: reconciler.retry(found), sweep.retry(), dies_before)
        self.house.seen["retries"] += 1

    @rule(seat=SEAT, width=WIDTH, workers=st.integers(1, 2), looks_anew=OFTEN, dies_before=DIES_BEFORE)
    def claim(self, seat: str, width: int, workers: int, looks_anew: bool, dies_before: int | None) -> None:
        """Claims as the worker's loop does, of the first sweep that has work, by what it has read of them."""
        self.claim_as(seat, width=width, workers=workers, looks_anew=looks_anew, dies_before=dies_before)

    @rule(seat=SEAT, outcome=st.sampled_from(["complete", "failed", "pruned"]), value=st.integers(0, 100))
    def train(self, seat: str, outcome: Outcome, value: int) -> None:
        """A batch in peace, of two trials and of what the worker held before."""
        self.claim_as(seat, width=2)
        held, self.held[seat] = self.held[seat], []
        for one in held:
            self.tell_as(seat, one, outcome, value / 100)

    @rule(seat=SEAT, width=WIDTH, is_dead=st.booleans())
    def vanish(self, seat: str, width: int, is_dead: bool) -> None:
        """A worker claims, and is dead or stalls, until somebody notices."""
        self.claim_as(seat, width=width)
        self.silence(self.present(seat))
        if is_dead:
            self.die(seat)
        self.look_around("api", None)

    @precondition(lambda self: any(self.held.values()))
    @rule(
        pick=PICK, outcome=st.sampled_from(["complete", "pruned", "failed", "stopped", "untold"]),
        value=st.integers(0, 100), again=st.booleans(), run_ends=st.booleans(),
    )  # fmt: skip
    def tell(self, pick: int, outcome: Outcome | Literal["untold"], value: int, again: bool, run_ends: bool) -> None:
        """Tells, again where the answer was lost, or lets go of a trial whose tell the database never took.

        A run that MLflow did not end is left to whoever reconciles.
        """
        seat, held = self.take_from(pick)
        if outcome != "untold":
            self.tell_as(seat, held, outcome, value / 100, again=again, run_ends=run_ends)

    @precondition(lambda self: any(one.is_late for held in self.held.values() for one in held))
    @rule(pick=PICK, outcome=st.sampled_from(["complete", "pruned", "failed", "lost"]))
    def tell_late(self, pick: int, outcome: Outcome) -> None:
        self.tell_as(*self.take_from(pick, late=True), outcome, 0.99)

    @precondition(lambda self: any(self.held.values()))
    @rule()
    def heed(self) -> None:
        """What is wanted of the sweeps, as workers ask between two steps."""
        for seat in SEATS:
            self.held[seat], held = [], self.held[seat]
            for one in held:
                wanted = self.house.processes[seat].store.wanted(one.sweep.id)
                if wanted in ("cancel", "pause_now"):
                    self.tell_as(seat, one, "cancelled" if wanted == "cancel" else "stopped")
                else:
                    self.held[seat].append(one)

    @precondition(lambda self: any(self.names.values()))
    @rule(seat=SEAT, how=st.sampled_from(["killed", "with trials in its hands", "in peace"]))
    def leave(self, seat: str, how: str) -> None:
        name = self.names[seat]
        if name is None:
            return
        for one in self.held[seat] if how == "in peace" else []:
            self.tell_as(seat, one, "stopped")
        if how != "killed":
            self.house.processes[seat].store.sign_off(name)
            self.alive[name] = False
        self.die(seat)

    @precondition(lambda self: any(self.alive.values()))
    @rule(pick=PICK, is_noticed=st.booleans())
    def fall_silent(self, pick: int, is_noticed: bool) -> None:
        """The grace of a worker is over, who is dead or stalls; one that stalls may go on by what it holds."""
        holders = [slot.holder for sweep in self.models for slot in sweep.slots if slot.state == "running"]
        living = [name for name, is_alive in self.alive.items() if is_alive]
        living = [name for name in living if name in holders] or living
        self.silence(living[pick % len(living)])
        if is_noticed:
            self.look_around("api", None)

    @precondition(lambda self: any(name and not self.alive[name] for name in self.names.values()))
    @rule()
    def wake(self) -> None:
        """Those who stalled give signs of life again."""
        for seat, name in self.names.items():
            if name and not self.alive[name]:
                self.beat_as(seat, name)

    @precondition(lambda self: any(slot.seen_nameless for sweep in self.models for slot in sweep.slots))
    @rule()
    def wait_for_the_nameless(self) -> None:
        self.outlast()

    @rule(seat=st.sampled_from(["api", *SEATS]), dies_before=DIES_BEFORE)
    def look(self, seat: str, dies_before: int | None) -> None:
        self.look_around(seat, dies_before)


@pytest.fixture
def house(database: str, resolved: Resolve, digits: DatasetInfo, monkeypatch: pytest.MonkeyPatch) -> Iterator[House]:
    """An API and three workers on the database, each with connections of its own.

    A sweep that ends gets no summary: drawing its picture takes longer than all of an example.
    """
    monkeypatch.setattr(reconcile, "write_summary", lambda *_, **__: None)
    with exclusive(database):
        engine = engine_for(database)
        migrate(engine)
        engine.dispose()
        ledger = Ledger()
        processes = {seat: Mortal(database, ledger) for seat in ("api", *SEATS)}
    yield House(processes, ledger, resolved, DatasetMark(classes=digits.classes, content=digits.content))
    for process in processes.values():
        process.disconnect()


@pytest.mark.timeout(3600)  # where it fails, Hypothesis looks for the shortest way to it, for minutes
@pytest.mark.parametrize(
    "examples",
    [
        pytest.param(4, id="few"),
        pytest.param(MANY, id="many", marks=pytest.mark.chaos),
    ],
)
def test_the_queue_is_what_its_model_says_whatever_is_done_to_it(
    examples: int, house: House, request: pytest.FixtureRequest
) -> None:
    chosen = os.environ.get("EVENHAND_CHAOS_SEED") or secrets.token_hex(4)
    request.node.add_report_section("setup", "chaos", f"EVENHAND_CHAOS_SEED={chosen}")

    @seed(int.from_bytes(chosen.encode()))
    def machine() -> QueueMachine:
        return QueueMachine(house)

    run_state_machine_as_test(
        machine,
        settings=settings(
            max_examples=examples, stateful_step_count=40, deadline=None, database=None,
            suppress_health_check=list(HealthCheck),
        ),
    )  # fmt: skip
    request.node.add_report_section("call", "machine", str(dict(house.seen)))
    assert house.seen["ends"] >= examples
    assert examples < MANY or house.seen.keys() >= {"tells", "late tells", "retries", "deaths at work"}
