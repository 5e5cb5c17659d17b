"""How many trials a worker takes into one training: as asked, or as many as were measured to pay."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, Self

from .pace import Pace, Paces, fitting
from .training.data import DeviceData
from .training.trainer import stacks
from .training.trial import Member


@dataclass(frozen=True, slots=True, kw_only=True)
class Room:
    """The places of one training, counted in members (trials × replicates)."""

    replicates: int
    width: int
    """Members that a stack may hold."""
    most: int
    """Members that may be in training, in one stack or several."""
    pace: Pace | None

    @classmethod
    def of(cls, members: Sequence[Member], data: DeviceData, *, width: int | Literal["auto"], paces: Paces) -> Self:
        """`members` are one trial's, `width` counts trials. Raises what the trainer says of a trial that cannot be."""
        one = len(members)
        if width == "auto":
            pace = paces.of(members[0], data)
            fits = min(pace.width, fitting(pace.member_bytes, data.device))
            return cls(replicates=one, width=fits, most=max(fits, one), pace=pace)
        most = width * one
        return cls(replicates=one, width=most if stacks(members[0].trial, data) else 1, most=most, pace=None)

    @classmethod
    def for_one(cls, replicates: int) -> Self:
        """Room for a single trial, its replicates one by one."""
        return cls(replicates=replicates, width=1, most=replicates, pace=None)

    def trials(self, held: int, *, width: int) -> int:
        """How many more trials to take in beside `held` members; memory may have made stacks narrower, to `width`."""
        more = (self.most if width >= self.width else max(width, self.replicates)) - held
        if self.pace is not None and held and not self.pace.pays(held, more):
            return 0
        return more // self.replicates
