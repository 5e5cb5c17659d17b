"""Training of many members side by side, epoch by epoch, each as if it were alone.

Data are on the device before the first step, and what was seen comes back in one transfer an epoch. On a CPU
a member's numbers depend on its trial and seed and on torch's thread count; not on what its neighbours learn nor on
what ran before, nor, in models that do not convolve, on whether it has any (grouped convolutions sum in another order).
Torch's global generators and thread count are
left as they are.
"""

import logging
import sys
import time
from collections.abc import Iterable, Sequence
from dataclasses import fields, replace
from functools import cache

import numpy as np
import torch
from numpy.typing import NDArray

from .cohort import Cohort
from .data import DeviceData
from .models import build_model
from .record import EpochRecord, Evaluation, Seen, epoch_records, evaluation_of, to_host
from .stacked import can_stack
from .trace import State
from .trial import Member, TrialSpec

_log = logging.getLogger(__name__)


class Training:
    """Members in training on one data set, known by their positions: in `members`, and then in what joined.

    Members that differ in numbers alone (loss, alpha, learning rate, seed, …) learn as one cohort of up to `width`;
    those whose steps differ, or whose model cannot be stacked, learn in cohorts of their own.

    Raises ValueError where a trial names a model, loss, optimizer or parameter that there is not.
    """

    def __init__(
        self, members: Sequence[Member], data: DeviceData, *, width: int = sys.maxsize, graphs: bool = False
    ) -> None:
        """Builds every member's model, optimizer and loss on the data's device; `graphs` as in `Cohort`."""
        self._data, self._width, self._graphs = data, width, graphs
        self._members: list[Member] = []
        self._cohorts: list[tuple[list[int], Cohort]] = []
        self.join(members)

    def join(self, members: Sequence[Member]) -> range:
        """Takes in members at their first epoch, in free places of the cohorts first; answers their positions."""
        positions = range(len(self._members), len(self._members) + len(members))
        self._members += members
        waiting: dict[tuple[object, ...], list[int]] = {}
        for position in positions:
            waiting.setdefault(_shape(self._members[position]), []).append(position)
        for shape, alike in waiting.items():
            for held, cohort in self._cohorts:
                if _shape(cohort.members[0]) == shape and (taken := self._first(alike, len(held))):
                    cohort.join(self._fresh(taken))
                    held += taken
            while taken := self._first(alike, 0):
                self._cohorts.append((taken, self._fresh(taken)))
        return positions

    @property
    def width(self) -> int:
        """How many members a cohort may hold: as asked, or less where memory ran out."""
        return self._width

    @property
    def held(self) -> tuple[int, ...]:
        """Positions of the members that are not dropped."""
        return tuple(sorted(position for positions, _ in self._cohorts for position in positions))

    @property
    def live(self) -> tuple[int, ...]:
        """Positions of the members that are held and have epochs left to train."""
        return tuple(sorted(
            position
            for positions, cohort in self._cohorts
            for position, epochs in zip(positions, cohort.epochs, strict=True)
            if epochs < cohort.spec.epochs
        ))  # fmt: skip

    def run_epoch(self) -> list[EpochRecord]:
        """One more epoch of every live member, and a record of each, in the order of their positions.

        A member whose loss is no longer finite costs the others nothing: its record says why in `failure`, and it is
        dropped. Where memory runs out a cohort goes on as two halves. Where no member is live, nothing happens and
        nothing is returned.
        """
        began = time.perf_counter()
        self._rest()
        live = set(self.live)
        learning = [held for held, _ in self._cohorts if live.issuperset(held)]
        if not learning:
            return []
        seen = [found for held in learning for found in self._advance(held)]
        seconds = (time.perf_counter() - began) / sum(map(len, learning))
        records = epoch_records(seen, seconds=seconds)
        self.drop(record.member for record in records if record.failure is not None)
        return sorted(records, key=lambda record: record.member)

    def drop(self, positions: Iterable[int]) -> None:
        """Lets go of members (pruned, cancelled or done with) and of the memory that they took."""
        going = set(positions)
        for position in going:
            self._held(position)
        left = []
        for held, cohort in self._cohorts:
            staying = [k for k, position in enumerate(held) if position not in going]
            if staying and len(staying) < len(held):
                cohort.keep(staying)
            if staying:
                left.append(([held[k] for k in staying], cohort))
        self._cohorts = left

    def test(self, positions: Iterable[int]) -> list[Evaluation]:
        """How each of these members does on the test set as it stands now."""
        asked = [self._held(position) for position in positions]
        counts = {id(cohort): cohort.test() for cohort, _ in asked}
        tensors = [
            tensor
            for cohort, k in asked
            for tensor in (counts[id(cohort)].confusion_KCC[k], counts[id(cohort)].nll_K[k])
        ]
        arrays = to_host(tensors)
        return [evaluation_of(*pair) for pair in zip(arrays[::2], arrays[1::2], strict=True)]

    def predict(self, position: int, inputs: NDArray[np.float32] | NDArray[np.uint8]) -> NDArray[np.int64]:
        """The class that a member gives to each input of the data set's kind: (N,) or (N, H, W)."""
        cohort, k = self._held(position)
        labels: NDArray[np.int64] = cohort.predict(k, torch.tensor(inputs)).cpu().numpy()
        return labels

    def _first(self, waiting: list[int], held: int) -> list[int]:
        """Takes from those who wait as many as may stand beside `held` others."""
        width = 1
        if waiting and stacks(self._members[waiting[0]].trial, self._data):
            width = self._width
        taken = waiting[: max(width - held, 0)]
        del waiting[: len(taken)]
        return taken

    def _fresh(self, positions: Sequence[int]) -> Cohort:
        return Cohort([self._members[position] for position in positions], self._data, graphs=self._graphs)

    def _rest(self) -> None:
        """Sets members that have had all their epochs apart from those that go on."""
        live = set(self.live)
        for held, cohort in list(self._cohorts):
            going, resting = ([p for p in held if (p in live) is goes] for goes in (True, False))
            if going and resting:
                self._part(held, cohort.state(), [going, resting])

    def _part(self, held: list[int], state: State, parts: Sequence[list[int]]) -> None:
        """Puts several cohorts, at `state`, in the place of one."""
        at = self._place(held)
        del self._cohorts[at]  # its memory is needed for the new ones
        for part in reversed(parts):
            cohort = self._fresh(part)
            cohort.restore(state, [held.index(position) for position in part])
            self._cohorts.insert(at, (part, cohort))

    def _advance(self, held: list[int]) -> list[Seen]:
        """One epoch of a cohort, in halves where there is not memory enough for the whole."""
        _, cohort = self._cohorts[self._place(held)]
        if len(held) == 1:
            return [(held, cohort, cohort.train_epoch(), cohort.validate())]
        state = cohort.state()
        try:
            return [(held, cohort, cohort.train_epoch(), cohort.validate())]
        except RuntimeError as error:
            if not is_out_of_memory(error):
                raise
        half = len(held) // 2
        self._width = min(self._width, len(held) - half)
        _log.warning("out of memory", extra={"action": "width_halved", "members": len(held), "width": self._width})
        halves = [held[:half], held[half:]]
        del cohort  # nothing else holds it once it has left its place
        self._part(held, state, halves)
        del state
        return [found for half in halves for found in self._advance(half)]

    def _held(self, position: int) -> tuple[Cohort, int]:
        for positions, cohort in self._cohorts:
            if position in positions:
                return cohort, positions.index(position)
        held = ", ".join(map(str, self.held)) or "none"
        raise ValueError(f"Expected a member still held ({held}), got {position}. Ask before dropping it.")

    def _place(self, held: list[int]) -> int:
        return next(at for at, (positions, _) in enumerate(self._cohorts) if positions is held)


def _shape(member: Member) -> tuple[object, ...]:
    """What members must share to learn as one."""
    trial = member.trial
    shared = replace(trial, loss="", loss_params={}, lr=0.0, momentum=0.0, weight_decay=0.0, model_params={})
    sizes = tuple(sorted(trial.model_params.items())), len(member.train_index), len(member.validation_index)
    return (*(getattr(shared, field.name) for field in fields(shared) if "params" not in field.name), *sizes)


def stacks(trial: TrialSpec, data: DeviceData) -> bool:
    """Whether the trial's model has a stacked form."""
    params = tuple(sorted(trial.model_params.items()))
    return _stacks(trial.model, params, data.input_shape, data.classes)


@cache
def _stacks(name: str, params: tuple[tuple[str, int], ...], input_shape: tuple[int, ...], classes: int) -> bool:
    return can_stack(build_model(name, input_shape=input_shape, classes=classes, params=dict(params), seed=0))


def is_out_of_memory(error: RuntimeError) -> bool:
    """Whether torch, or a library below it, found too little memory; on a CPU there is no class of its own for it."""
    said = str(error)
    return isinstance(error, torch.OutOfMemoryError) or "can't allocate memory" in said or "ALLOC_FAILED" in said
