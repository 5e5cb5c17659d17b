"""Training of many members side by side, epoch by epoch, each as if it were alone.

Data are on the device before the first step, and what was seen comes back in one transfer an epoch. On a CPU
a member's numbers depend on its trial and seed and on torch's thread count; not on what its neighbours learn nor on
what ran before. How many they are may change the order of its sums, and so the last bits of a float32: not at all for
mlps of usual sizes, always where models convolve. Torch's global generators and thread count are left as they are.
"""

import logging
import sys
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields, replace

import numpy as np
import torch
from numpy.typing import NDArray

from .cohort import Cohort, Heed
from .data import DeviceData
from .probe import can_stack
from .record import EpochRecord, Evaluation, Seen, epoch_records, evaluation_of, to_host
from .trace import State
from .trial import Member

_log = logging.getLogger(__name__)


@dataclass(slots=True, eq=False)
class _Group:
    """A cohort, and where its members are in the training."""

    positions: list[int]
    cohort: Cohort


class Training:
    """Members in training on one data set, known by their positions: in `members`, and then in what joined.

    Members that differ in numbers alone (loss, alpha, learning rate, seed, …) learn as one cohort of up to `width`;
    those whose steps differ, or whose model cannot be stacked, learn in cohorts of their own.

    Raises ValueError where a trial names a model, loss, optimizer or parameter that there is not.
    """

    def __init__(
        self, members: Sequence[Member], data: DeviceData, *, width: int = sys.maxsize, graphs: bool = False,
        heed: Heed = lambda: None,
    ) -> None:  # fmt: skip
        """Builds every member's model, optimizer and loss on the data's device; `graphs` and `heed` as in `Cohort`."""
        if width < 1:
            raise ValueError(f"Expected a width of at least 1, got {width}. Give how many members may learn as one.")
        self._data, self._width, self._graphs, self._heed = data, width, graphs, heed
        self._members: list[Member] = []
        self._groups: list[_Group] = []
        self.join(members)

    def join(self, members: Sequence[Member], states: Sequence[State | None] = ()) -> range:
        """Takes in members at their first epoch, in free places of the cohorts first; answers their positions.

        Those that have one of the `states` go on from there, in cohorts of their own.
        """
        positions = range(len(self._members), len(self._members) + len(members))
        self._members += members
        begun = {position: state for position, state in zip(positions, states, strict=False) if state is not None}
        waiting: dict[tuple[object, ...], list[int]] = {}
        for position in positions:
            waiting.setdefault((position in begun, *_shape(self._members[position])), []).append(position)
        for (has_begun, *shape), alike in waiting.items():
            width = self._width if can_stack(self._members[alike[0]].trial, self._data) else 1
            for group in () if has_begun else self._groups:
                free = max(width - len(group.positions), 0)
                if _shape(group.cohort.members[0]) == tuple(shape) and alike[:free]:
                    group.cohort.join(self._fresh(alike[:free]))
                    group.positions += alike[:free]
                    alike = alike[free:]
            for start in range(0, len(alike), width):
                part = alike[start : start + width]
                self._groups.append(_Group(part, self._fresh(part)))
                if has_begun:
                    state = State.of([begun[position] for position in part])
                    self._groups[-1].cohort.restore(state, range(len(part)))
        return positions

    def states(self, positions: Iterable[int]) -> list[State]:
        """What each of these members is now: with it, it goes on elsewhere as if nothing had happened."""
        return [cohort.state([k]) for cohort, k in map(self._place, positions)]

    @property
    def width(self) -> int:
        """How many members a cohort may hold: as asked, or less where memory ran out."""
        return self._width

    @property
    def held(self) -> tuple[int, ...]:
        """Positions of the members that are not dropped."""
        return tuple(sorted(position for group in self._groups for position in group.positions))

    @property
    def live(self) -> tuple[int, ...]:
        """Positions of the members that are held and have epochs left to train."""
        return tuple(sorted(
            position
            for group in self._groups
            for position, epochs in zip(group.positions, group.cohort.epochs, strict=True)
            if epochs < group.cohort.spec.epochs
        ))  # fmt: skip

    def run_epoch(self) -> list[EpochRecord]:
        """One more epoch of every live member, and a record of each, in the order of their positions.

        A member whose loss is no longer finite costs the others nothing: its record says why in `failure`, and it is
        dropped. Where memory runs out a cohort goes on as two halves; a member that has too little even alone is
        dropped, and has no record. Where no member is live, nothing happens and nothing is returned.
        """
        began = time.perf_counter()
        self._rest()
        live = set(self.live)
        seen = [
            found for group in list(self._groups) if live.issuperset(group.positions) for found in self._advance(group)
        ]
        if not seen:
            return []
        seconds = (time.perf_counter() - began) / sum(len(positions) for positions, *_ in seen)
        records = epoch_records(seen, seconds=seconds)
        self.drop(record.member for record in records if record.failure is not None)
        return sorted(records, key=lambda record: record.member)

    def drop(self, positions: Iterable[int]) -> None:
        """Lets go of members (pruned, cancelled or done with) and of the memory that they took."""
        going = set(positions)
        for position in going:
            self._place(position)
        left = []
        for group in self._groups:
            staying = [k for k, position in enumerate(group.positions) if position not in going]
            if staying and len(staying) < len(group.positions):
                group.cohort.keep(staying)
                group.positions = [group.positions[k] for k in staying]
            if staying:
                left.append(group)
        self._groups = left

    def test(self, positions: Iterable[int]) -> list[Evaluation]:
        """How each of these members does on the test set as it stands now."""
        asked = [self._place(position) for position in positions]
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
        cohort, k = self._place(position)
        labels: NDArray[np.int64] = cohort.predict(k, torch.tensor(inputs)).cpu().numpy()
        return labels

    def _fresh(self, positions: Sequence[int]) -> Cohort:
        return Cohort(
            [self._members[position] for position in positions], self._data, graphs=self._graphs, heed=self._heed
        )

    def _rest(self) -> None:
        """Sets members that have had all their epochs apart from those that go on."""
        live = set(self.live)
        for group in list(self._groups):
            going, resting = ([p for p in group.positions if (p in live) is goes] for goes in (True, False))
            if going and resting:
                self._part(group, group.cohort.state(), [going, resting])

    def _part(self, group: _Group, state: State, parts: Sequence[list[int]]) -> list[_Group]:
        """Puts several cohorts, at `state`, in the place of a group's one."""
        at = self._groups.index(group)
        del self._groups[at], group.cohort  # its memory is needed for the new ones
        parted = []
        for part in parts:
            cohort = self._fresh(part)
            cohort.restore(state, [group.positions.index(position) for position in part])
            parted.append(_Group(part, cohort))
        self._groups[at:at] = parted
        return parted

    def _advance(self, group: _Group) -> list[Seen]:
        """One epoch of a group, in halves where there is not memory enough for the whole."""
        positions = group.positions
        state = group.cohort.state() if len(positions) > 1 else None
        try:
            return [(positions, group.cohort, group.cohort.train_epoch(), group.cohort.validate())]
        except RuntimeError as error:
            if not is_out_of_memory(error):
                raise
        if state is None:
            _log.warning("out of memory", extra={"action": "member_dropped", "member": positions[0]})
            self.drop(positions)
            return []
        half = len(positions) // 2
        self._width = min(self._width, len(positions) - half)
        _log.warning("out of memory", extra={"action": "width_halved", "members": len(positions), "width": self._width})
        halves = self._part(group, state, [positions[:half], positions[half:]])
        del state
        return [found for part in halves for found in self._advance(part)]

    def _place(self, position: int) -> tuple[Cohort, int]:
        for group in self._groups:
            if position in group.positions:
                return group.cohort, group.positions.index(position)
        held = ", ".join(map(str, self.held)) or "none"
        raise ValueError(f"Expected a member still held ({held}), got {position}. Ask before dropping it.")


def _shape(member: Member) -> tuple[object, ...]:
    """What members must share to learn as one."""
    trial = member.trial
    shared = replace(trial, loss="", loss_params={}, lr=0.0, momentum=0.0, weight_decay=0.0, model_params={})
    sizes = tuple(sorted(trial.model_params.items())), len(member.train_index), len(member.validation_index)
    return (*(getattr(shared, field.name) for field in fields(shared) if "params" not in field.name), *sizes)


def is_out_of_memory(error: RuntimeError) -> bool:
    """Whether torch, or a library below it, found too little memory; on a CPU there is no class of its own for it."""
    said = str(error)
    return isinstance(error, torch.OutOfMemoryError) or "can't allocate memory" in said or "ALLOC_FAILED" in said
