"""Cohorts and where their members are in the training: how they are formed, and what they do where memory is short."""

import logging
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, fields, replace
from typing import Self, TypeVar

from .cohort import Cohort
from .memory import is_out_of_memory
from .trial import Member

T = TypeVar("T")
_log = logging.getLogger(__name__)


@dataclass(slots=True, eq=False)
class Group:
    """A cohort, and the positions of its members."""

    positions: list[int]
    cohort: Cohort

    def keep(self, rows: Sequence[int]) -> None:
        """Goes on with the members in these rows, in this order."""
        self.cohort.keep(rows)
        self.positions = [self.positions[k] for k in rows]

    def parted(self, at: int) -> list[Self]:
        """Two groups in its stead, which takes no memory."""
        rows = range(len(self.positions))
        return [
            type(self)([self.positions[k] for k in part], self.cohort.part(part)) for part in (rows[:at], rows[at:])
        ]


def kind_of(member: Member) -> tuple[object, ...]:
    """What members must share to learn as one."""
    trial = member.trial
    shared = replace(trial, loss="", loss_params={}, lr=0.0, momentum=0.0, weight_decay=0.0, model_params={})
    sizes = tuple(sorted(trial.model_params.items())), len(member.train_index), len(member.validation_index)
    return (*(getattr(shared, field.name) for field in fields(shared) if "params" not in field.name), *sizes)


def seat(seats: Iterable[tuple[Group, Group]]) -> None:
    """Lets every group take in the guests beside it; where there is no memory for one, all stay as they were."""
    joined: list[Group] = []
    try:
        for host, guests in seats:
            host.cohort.join(guests.cohort)
            joined.append(host)
    except BaseException:
        for host in joined:
            host.cohort = host.cohort.part(range(len(host.positions)))
        raise
    for host, guests in seats:
        host.positions += guests.positions


def fitted(group: Group, work: Callable[[Cohort], T], *, anew: bool = False) -> list[tuple[Group, T | None]]:
    """Some work with a group, in halves where there is not memory enough for the whole: the parts, and what they gave.

    A member that has too little even alone gives None. Work that changes what it is given begins `anew` in the halves.
    """
    members, state = len(group.positions), None
    try:
        if anew and members > 1:
            state = group.cohort.state()
        return [(group, work(group.cohort))]
    except (RuntimeError, MemoryError) as error:
        if not is_out_of_memory(error):
            raise
    _log.warning("out of memory", extra={"action": "no_memory", "members": members, "first": group.positions[0]})
    if members == 1:
        return [(group, None)]
    if state is not None:
        group.cohort.restore(state)
        del state
    return [part for half in group.parted(members // 2) for part in fitted(half, work, anew=anew)]
