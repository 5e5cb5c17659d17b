"""How many trials a worker takes into one training: as asked, or as many as were measured to pay."""

from collections.abc import Sequence
from typing import Literal

from .pace import Pace, Paces
from .training.data import DeviceData
from .training.trial import Member


class Room:
    """The places of one training, counted in members (trials × replicates)."""

    def __init__(
        self, members: Sequence[Member], data: DeviceData, *, width: int | Literal["auto"], paces: Paces
    ) -> None:
        """`members` are those of one trial; `width` counts trials."""
        self._replicates = len(members)
        self._pace: Pace | None = None
        if width == "auto":
            self._pace = paces.of(members[0], data)
        self.width = self._pace.width if self._pace else int(width) * len(members)
        """Members that a stack may hold."""

    def trials(self, held: int, *, width: int) -> int:
        """How many more trials to take in beside `held` members, where stacks hold up to `width`."""
        more = max(width, self._replicates) - held
        if self._pace is not None and held and not self._pace.pays(held, more):
            return 0
        return more // self._replicates
