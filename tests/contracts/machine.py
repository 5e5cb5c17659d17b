"""The queue and its model side by side: what people ask, what is as promised, and how all comes to an end."""

import math
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from itertools import chain

from hypothesis.stateful import invariant

from .model import ModelSlot, ModelSweep, Write
from .mortal import House
from .promises import check_agreement, check_has_work, check_promises, check_runs
from .staff import SEATS, Staff

_ENOUGH_ROUNDS = 60


class Machine(Staff):
    """Without rules: what the API does, what holds after each rule, and the end of all."""

    def __init__(self, house: House) -> None:
        super().__init__(house)
        self.looked_at: set[str] = set()
        """The sweeps that were looked at since the last check."""
        self.points: dict[tuple[str, int], Mapping[str, float]] = {}
        self._checks = 0

    @invariant()
    def all_is_as_promised(self) -> None:
        """What a process sees, each in turn, is what the model has, and keeps what docs/reliability.md promises."""
        self._checks += 1
        self.house.seen["checks"] += 1
        process = list(self.house.processes.values())[self._checks % len(self.house.processes)]
        for model in self.models:
            sweep = process.store.get(model.id)
            slots = process.studies.slots(sweep)
            check_promises(sweep, slots, points=self.points, told=self.told, takes_nothing=model.id in self.answered)
            check_agreement(sweep, slots, model)
            if model.id in self.looked_at:
                check_has_work(sweep, slots)
            if sweep.ended_at is not None:
                check_runs(slots, self.house.ledger.runs.get(sweep.id, {}))
        self.looked_at.clear()

    def teardown(self) -> None:
        """Brings all to an end where nothing went wrong before."""
        try:
            if sys.exc_info()[0] is None:
                self._end()
                self.house.seen["ends"] += 1
        finally:
            self.api.forget_all()

    def submitted(
        self, *, sampler: str, trials: int, scenarios: int, rivals: int, dies_before: int | None
    ) -> ModelSweep:
        """A sweep that is promised; its API may die while it lays the slots."""
        fields: dict[str, object] = {"sampler": sampler, "trials": trials, "baselines": ["focal"][:rivals]}
        if sampler == "grid":
            fields["alpha"] = [0.1 * (at + 1) for at in range(trials)]
        ratios = {"profile": "exponential", "ratios": [1, 10][:scenarios]}
        sweep = self.api.store.add(self.house.resolved(imbalance=ratios, **fields), self.house.mark)
        studies = [at for scenario in range(scenarios) for at in [2 * scenario] * trials + [2 * scenario + 1] * rivals]
        slots = [ModelSlot(number=number, study=study) for number, study in enumerate(studies)]
        model = ModelSweep(id=sweep.id, slots=slots, most=2 if sampler == "tpe" else math.inf)
        self.models.append(model)
        self.look_as("api", [model], partial(self.api.reconciler("api").look_at, sweep), dies_before)
        return model

    def cancel_as_the_api(self, sweep: ModelSweep, dies_before: int | None) -> None:
        """Cancels, answers, and looks at the sweep."""
        found = self.api.store.get(sweep.id)

        def work() -> None:
            assert self.api.store.want(sweep.id, "cancel")
            self.api.studies.cancel_waiting(self.api.studies.slots(found))
            self.answered.add(sweep.id)
            self.api.reconciler("api").look_at(found)

        self.act("api", work, chain(sweep.cancel(), self.look_writes("api", [sweep])), dies_before)

    def look_around(self, seat: str, dies_before: int | None) -> None:
        """Any process reconciles."""
        holder = seat if seat == "api" else self.present(seat)
        still_open = [model for model in self.models if model.state is None]
        self.look_as(seat, still_open, self.house.processes[seat].reconciler(holder).run, dies_before)

    def look_as(
        self, seat: str, models: Sequence[ModelSweep], look: Callable[[], object], dies_before: int | None
    ) -> None:
        """A look at some sweeps, after which each of them has work or has ended."""
        if not self.act(seat, look, self.look_writes(seat, models), dies_before):
            self.looked_at |= {model.id for model in models}

    def look_writes(self, seat: str, models: Sequence[ModelSweep]) -> Iterator[Write]:
        """What a look writes."""

        def is_gone(slot: ModelSlot) -> bool:
            if slot.holder is not None:
                return not self.alive[slot.holder]
            if seat not in slot.long_nameless:
                slot.seen_nameless.add(seat)
            return seat in slot.long_nameless

        for model in models:
            yield from model.look(is_gone)

    def _end(self) -> None:
        """All workers are dead, nothing is paused, and one that comes trains what there is: then every sweep ends."""
        for seat in SEATS:
            self.die(seat)
        for name in self.alive:
            self.silence(name)
        for model in self.models:
            if model.want("run", instead_of=("pause", "pause_now")):
                assert self.api.store.want(model.id, "run")
        for _ in range(_ENOUGH_ROUNDS):
            if all(model.state for model in self.models):
                break
            self.look_around("api", None)
            self.outlast()
            self.claim_as("ann", width=3)
            while self.held["ann"]:
                self.tell_as(*self.take_from(0), "complete", 0.5)
        self.all_is_as_promised()
        assert [model.id for model in self.models if model.state is None] == []
        assert self.api.store.open_sweeps() == []
