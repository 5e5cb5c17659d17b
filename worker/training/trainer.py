"""Training of many members side by side, epoch by epoch, each as if it were alone.

Data are on the device before the first step, and what was seen comes back in one transfer an epoch. On a CPU
a member's numbers depend on its trial and seed and on torch's thread count; not on what its neighbours learn nor on
what ran before. How many they are may change the order of its sums, and so the last bits of a float32: not at all for
mlps of usual sizes, always where models convolve. Torch's global generators and thread count are left as they are.
"""

import sys
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import zip_longest
from typing import TypeVar

import numpy as np
import torch
from numpy.typing import NDArray

from .cohort import Cohort, Heed
from .data import DeviceData
from .evaluation import Counts
from .groups import Group, fitted, kind_of, seat
from .probe import can_stack
from .record import EpochRecord, Evaluation, epoch_records, evaluation_of, to_host
from .trace import State, Trace
from .trial import Member

T = TypeVar("T")


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
        self._groups: list[Group] = []
        self.join(members)

    def join(self, members: Sequence[Member], states: Sequence[State | None] = ()) -> range:
        """Takes in members at their first epoch, in free places of the cohorts first; answers their positions.

        Those that have one of the `states` go on from there, in cohorts of their own. All are taken in, or none.
        """
        positions = range(len(self._members), len(self._members) + len(members))
        self._members += members
        try:
            hosts, own = self._seats({p: state for p, state in zip_longest(positions, states)})
            seat(hosts)
        except BaseException:
            del self._members[positions.start :]
            raise
        self._groups += own
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
        learning = [group for group in self._groups if live.issuperset(group.positions)]
        seen = [(group.positions, group.cohort, *found) for group, found in self._done(_epoch, learning, anew=True)]
        self.drop(live.difference(position for positions, *_ in seen for position in positions))
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

    def test(self, positions: Sequence[int]) -> list[Evaluation | None]:
        """How each of these members does on the test set as it stands now; None where memory is short of even that."""
        asked = {id(group): group for group in map(self._group, positions)}.values()
        found = self._done(Cohort.test, asked)
        tested = [position for group, _ in found for position in group.positions]
        rows = [(counts, k) for group, counts in found for k in range(len(group.positions))]
        arrays = to_host([tensor for counts, k in rows for tensor in (counts.confusion_KCC[k], counts.nll_K[k])])
        by_position = dict(zip(tested, zip(arrays[::2], arrays[1::2], strict=True), strict=True))
        return [evaluation_of(*by_position[position]) if position in by_position else None for position in positions]

    def predict(self, position: int, inputs: NDArray[np.float32] | NDArray[np.uint8]) -> NDArray[np.int64]:
        """The class that a member gives to each input of the data set's kind: (N,) or (N, H, W)."""
        cohort, k = self._place(position)
        labels: NDArray[np.int64] = cohort.predict(k, torch.tensor(inputs)).cpu().numpy()
        return labels

    def _seats(self, states: Mapping[int, State | None]) -> tuple[list[tuple[Group, Group]], list[Group]]:
        """Groups of those that join: some as guests, beside those whose free places they take, and others."""
        guests: list[tuple[Group, Group]] = []
        own: list[Group] = []
        waiting: dict[tuple[object, ...], list[int]] = {}
        for position, state in states.items():
            waiting.setdefault((state is not None, *kind_of(self._members[position])), []).append(position)
        for (has_begun, *kind), alike in waiting.items():
            width = self._width if can_stack(self._members[alike[0]].trial, self._data) else 1
            for host in () if has_begun else self._groups:
                free = max(width - len(host.positions), 0)
                if kind_of(host.cohort.members[0]) == tuple(kind) and alike[:free]:
                    guests.append((host, self._fresh(alike[:free])))
                    alike = alike[free:]
            for start in range(0, len(alike), width):
                own.append(self._fresh(alike[start : start + width]))
                if has_begun:
                    begun = [state for p in own[-1].positions if (state := states[p]) is not None]
                    own[-1].cohort.restore(State.of(begun))
        return guests, own

    def _fresh(self, positions: list[int]) -> Group:
        members = [self._members[position] for position in positions]
        return Group(positions, Cohort(members, self._data, graphs=self._graphs, heed=self._heed))

    def _rest(self) -> None:
        """Sets members that have had all their epochs apart from those that go on."""
        live = set(self.live)
        for group in list(self._groups):
            rows = range(len(group.positions))
            going, resting = ([k for k in rows if (group.positions[k] in live) is goes] for goes in (True, False))
            if going and resting:
                group.keep([*going, *resting])
                self._replace(group, group.parted(len(going)))

    def _replace(self, group: Group, parts: Sequence[Group]) -> None:
        at = self._groups.index(group)
        self._groups[at : at + 1] = parts

    def _done(
        self, work: Callable[[Cohort], T], groups: Iterable[Group], *, anew: bool = False
    ) -> list[tuple[Group, T]]:
        """What work with the groups gave, as far as there was memory; cohorts that fitted in parts alone stay apart."""
        done: list[tuple[Group, T]] = []
        for group in list(groups):
            parts = fitted(group, work, anew=anew)
            if len(parts) > 1:
                self._replace(group, [part for part, _ in parts])
                self._width = min(self._width, max(len(part.positions) for part, _ in parts))
            done += [(part, found) for part, found in parts if found is not None]
        return done

    def _group(self, position: int) -> Group:
        for group in self._groups:
            if position in group.positions:
                return group
        held = ", ".join(map(str, self.held)) or "none"
        raise ValueError(f"Expected a member still held ({held}), got {position}. Ask before dropping it.")

    def _place(self, position: int) -> tuple[Cohort, int]:
        group = self._group(position)
        return group.cohort, group.positions.index(position)


def _epoch(cohort: Cohort) -> tuple[Trace, Counts]:
    return cohort.train_epoch(), cohort.validate()
