"""Cohorts, and where their members are in the training."""

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from typing import Self

from .cohort import Cohort
from .trial import Member


@dataclass(slots=True, eq=False)
class Group:
    """A cohort, and the positions of its members."""

    positions: list[int]
    cohort: Cohort

    def keep(self, rows: Sequence[int]) -> None:
        """Goes on with the members in these rows, in this order, and in memory of their own."""
        self.cohort, self.positions = self.cohort.kept(rows), [self.positions[k] for k in rows]

    def take_apart(self, *parts: Sequence[int]) -> list[Self]:
        """Groups of the members in these rows, in memory of their own."""
        return [type(self)([self.positions[k] for k in rows], self.cohort.kept(rows)) for rows in parts]

    def halves(self) -> list[Self]:
        """Two groups in its stead, where it lies."""
        rows, middle = range(len(self.positions)), len(self.positions) // 2
        parts = rows[:middle], rows[middle:]
        return [type(self)([self.positions[k] for k in part], self.cohort.part(part)) for part in parts]


def kind_of(member: Member) -> tuple[object, ...]:
    """What members must share to learn as one."""
    trial = member.trial
    shared = replace(trial, loss="", loss_params={}, lr=0.0, momentum=0.0, weight_decay=0.0, model_params={})
    sizes = tuple(sorted(trial.model_params.items())), len(member.train_index), len(member.validation_index)
    return (*(getattr(shared, field.name) for field in fields(shared) if "params" not in field.name), *sizes)
