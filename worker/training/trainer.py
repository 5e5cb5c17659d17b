"""Training of many members side by side, epoch by epoch, each as if it were alone.

Data are on the device before the first step, and what was seen comes back in one transfer an epoch. On a CPU
a member's numbers depend on its trial and seed and on torch's thread count; not on what its neighbours learn nor on
what ran before. How many they are may change the order of its sums, and so the last bits of a float32: not at all for
mlps of usual sizes, always where models convolve. Torch's global generators and thread count are left as they are.
"""

import logging
import sys
import time
from collections.abc import Iterable, Mapping, Sequence, Set
from itertools import zip_longest

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from .cohort import Cohort, Heed
from .data import DeviceData
from .evaluation import Counts
from .groups import Group, kind_of
from .memory import while_memory_lasts
from .probe import can_stack
from .record import EpochRecord, Evaluation, Seen, epoch_records, evaluation_of, to_host
from .trace import State
from .trial import Member

_log = logging.getLogger(__name__)


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
        self._left_out: dict[int, frozenset[int]] = {}
        self.join(members)

    def join(self, members: Sequence[Member], states: Sequence[State | None] = ()) -> range:
        """Takes in members at their first epoch, in free places of the cohorts first; answers their positions.

        Those that have one of the `states` go on from there, in cohorts of their own. All are taken in, or none.
        """
        positions = range(len(self._members), len(self._members) + len(members))
        self._members += members
        try:
            hosts, own = self._seats(dict(zip_longest(positions, states)))
            joined = [host.cohort.joined(guests.cohort) for host, guests in hosts]
        except BaseException:
            del self._members[positions.start :]
            raise
        for (host, guests), cohort in zip(hosts, joined, strict=True):
            self._replace(host, [Group([*host.positions, *guests.positions], cohort)])
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

    @property
    def left_out(self) -> Mapping[int, frozenset[int]]:
        """Members that were dropped as they had too little memory even alone, each with those that were held beside."""
        return self._left_out

    def run_epoch(self) -> list[EpochRecord]:
        """One more epoch of every live member, and a record of each, in the order of their positions.

        A member whose loss is no longer finite costs the others nothing: its record says why in `failure`, and it is
        dropped. Where memory runs out a cohort goes on as two halves; a member that has too little even alone is
        dropped, and has no record but is `left_out`. Where no member is live, nothing happens and nothing is returned.
        After an error of another kind the training is not to be gone on with.
        """
        began = time.perf_counter()
        live, held = set(self.live), set(self.held)
        if live < held:  # those that have had all their epochs rest
            self._set_apart(live, held - live)
        seen = self._epochs()
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
        self._set_apart(set(self.held) - going)

    def test(self, positions: Sequence[int]) -> list[Evaluation | None]:
        """How each of these members, and nobody else, does on the test set as it stands now; None where `left_out`."""
        for position in positions:
            self._place(position)
        rows: dict[int, tuple[Tensor, Tensor]] = {}
        waiting = [[p for p in group.positions if p in positions] for group in self._groups]
        while waiting:
            if some := waiting.pop(0):
                with while_memory_lasts():
                    counts = self._tested(some)
                    rows |= dict(zip(some, zip(counts.confusion_KCC, counts.nll_K, strict=True), strict=True))
                    continue
                waiting[:0] = self._halved(some)
        arrays = iter(to_host([tensor for row in rows.values() for tensor in row]))
        found = dict(zip(rows, map(evaluation_of, arrays, arrays), strict=True))
        return [found.get(position) for position in positions]

    def predict(self, position: int, inputs: NDArray[np.float32] | NDArray[np.uint8]) -> NDArray[np.int64]:
        """The class that a member gives to each input of the data set's kind: (N,) or (N, H, W)."""
        cohort, k = self._place(position)
        labels: NDArray[np.int64] = cohort.predict(k, torch.tensor(inputs)).cpu().numpy()
        return labels

    def _seats(self, states: Mapping[int, State | None]) -> tuple[list[tuple[Group, Group]], list[Group]]:
        """Groups of those that join: some as guests, beside those whose free places they take, and others."""
        guests: list[tuple[Group, Group]] = []
        own: list[Group] = []
        live = set(self.live)
        waiting: dict[tuple[object, ...], list[int]] = {}
        for position, state in states.items():
            waiting.setdefault((state is not None, *kind_of(self._members[position])), []).append(position)
        for (has_begun, *kind), alike in waiting.items():
            width = self._width if can_stack(self._members[alike[0]].trial, self._data) else 1
            for host in () if has_begun else [group for group in self._groups if live.issuperset(group.positions)]:
                free = max(width - len(host.positions), 0)
                if kind_of(host.cohort.members[0]) == tuple(kind) and alike[:free]:
                    guests.append((host, self._fresh(alike[:free])))
                    alike = alike[free:]
            for start in range(0, len(alike), width):
                fresh = self._fresh(alike[start : start + width])
                begun = [state for position in fresh.positions if (state := states[position]) is not None]
                own.append(Group(fresh.positions, fresh.cohort.restored(State.of(begun))) if begun else fresh)
        return guests, own

    def _fresh(self, positions: list[int]) -> Group:
        members = [self._members[position] for position in positions]
        return Group(positions, Cohort(members, self._data, graphs=self._graphs, heed=self._heed))

    def _replace(self, group: Group, others: Sequence[Group]) -> None:
        at = self._groups.index(group)
        self._groups[at : at + 1] = others

    def _set_apart(self, *parts: Set[int]) -> None:
        """Goes on with the members of these parts alone, each part in cohorts of its own."""
        held = set[int]().union(*parts)
        self._groups = [group for group in self._groups if not held.isdisjoint(group.positions)]
        for at in reversed(range(len(self._groups))):
            group = self._groups[at]
            rows = [[k for k, position in enumerate(group.positions) if position in part] for part in parts]
            # What lies in a larger cohort's memory holds all of it.
            if max(map(len, rows)) < len(group.positions) or group.cohort.is_part:
                self._groups[at : at + 1] = [one for some in rows for one in group.kept(some)]

    def _epochs(self) -> list[Seen]:
        """An epoch of each live member, in halves where there was not memory enough; these stay apart."""
        seen: list[Seen] = []
        waiting = set(self.live)
        while group := next((one for one in self._groups if waiting.issuperset(one.positions)), None):
            state = None
            with while_memory_lasts():
                if len(group.positions) > 1:
                    state = group.cohort.state()
                seen.append((group.positions, group.cohort.train_epoch(), group.cohort.validate()))
                waiting.difference_update(group.positions)
                continue
            if halves := self._halved(group.positions):
                self._width = min(self._width, len(halves[1]))
                self._replace(group, group.halves(state))
        return seen

    def _tested(self, positions: Sequence[int]) -> Counts:
        """The test of members of one cohort, in their order in it."""
        cohort, _ = self._place(positions[0])
        return cohort.test([self._place(position)[1] for position in positions])

    def _halved(self, positions: Sequence[int]) -> Sequence[Sequence[int]]:
        """Those for whom there was not memory enough, half as many at a time.

        One who has too little even alone is dropped at once, which leaves more to those that come after it.
        """
        members = len(positions)
        _log.warning("out of memory", extra={"action": "no_memory", "members": members, "of": len(self.held)})
        if members == 1:
            self._left_out[positions[0]] = frozenset(self.held).difference(positions)
            self.drop(positions)
            return []
        return [positions[: members // 2], positions[members // 2 :]]

    def _place(self, position: int) -> tuple[Cohort, int]:
        for group in self._groups:
            if position in group.positions:
                return group.cohort, group.positions.index(position)
        held = ", ".join(map(str, self.held)) or "none"
        raise ValueError(f"Expected a member still held ({held}), got {position}. Ask before dropping it.")
