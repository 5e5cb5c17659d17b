"""Cohorts, and where their members are in the training."""

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from itertools import pairwise

from .cohort import Cohort
from .memory import while_memory_lasts
from .trace import State
from .trial import Member


@dataclass(frozen=True, slots=True, eq=False)
class Group:
    """A cohort, and the positions of its members."""

    positions: Sequence[int]
    cohort: Cohort

    def kept(self, rows: Sequence[int]) -> list["Group"]:
        """A group of the members in these rows, in this order and in memory of its own; none where there are no rows.

        Where there is too little memory for a copy, they are as many groups as lie apart, where they lie.
        """
        with while_memory_lasts():
            return [Group([self.positions[k] for k in rows], self.cohort.kept(rows))] if rows else []
        ends = [*(at for at in range(1, len(rows)) if rows[at] != rows[at - 1] + 1), len(rows)]
        return self._parts(*(range(rows[start], rows[end - 1] + 1) for start, end in pairwise([0, *ends])))

    def halves(self, state: State | None) -> list["Group"]:
        """Two groups in its stead, of members as they were in this state, if there is one; where that, or it, lies."""
        whole = self if state is None else Group(self.positions, self.cohort.restored(state))
        rows, middle = range(len(self.positions)), len(self.positions) // 2
        return whole._parts(rows[:middle], rows[middle:])

    def _parts(self, *parts: range) -> list["Group"]:
        return [Group([self.positions[k] for k in part], self.cohort.part(part)) for part in parts]


def kind_of(member: Member) -> tuple[object, ...]:
    """What members must share to learn as one."""
    trial = member.trial
    shared = replace(trial, loss="", loss_params={}, lr=0.0, momentum=0.0, weight_decay=0.0, model_params={})
    sizes = tuple(sorted(trial.model_params.items())), len(member.train_index), len(member.validation_index)
    return (*(getattr(shared, field.name) for field in fields(shared) if "params" not in field.name), *sizes)
