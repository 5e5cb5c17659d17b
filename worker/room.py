"""How many trials a worker takes into one training: as asked, or as many as were measured to pay."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, Self

from .pace import Pace, Paces, bytes_of_records, fitting
from .training.cohort import Heed
from .training.data import DeviceData
from .training.probe import no_stack
from .training.trial import Member
from .wishes import Interrupted

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Room:
    """The places of one training, counted in members (trials × replicates)."""

    replicates: int
    width: int
    """Members that a stack may hold."""
    most: int
    """Members that may be in training, in one stack or several."""
    pace: Pace | None
    stacked: str
    """Whether the model has a stacked form: yes, or why not."""

    @classmethod
    def of(
        cls, members: Sequence[Member], data: DeviceData, *, width: int | Literal["auto"], paces: Paces,
        heed: Heed = lambda: None,
    ) -> Self:  # fmt: skip
        """`members` are one trial's, `width` counts trials. A model without a stacked form is said, and trained alone.

        So is a trial that cannot be at all: the trainer will say what is wrong with it, once it has a run to say it in.
        """
        one, trial, stacked = len(members), members[0].trial, "unknown"
        try:
            reason = no_stack(trial, data)
            stacked = f"no: {reason}" if reason else "yes"
            if reason:
                _log.info("one by one", extra={"action": "one_by_one", "model": trial.model, "reason": reason})
            if width == "auto":
                pace = paces.of(members, data, heed=heed)
                member_bytes = pace.member_bytes + bytes_of_records(members[0], data)
                fits = min(pace.width, fitting(member_bytes, data.device))
                return cls(replicates=one, width=fits, most=max(fits, one), pace=pace, stacked=stacked)
            fits = 1 if reason else width * one
            return cls(replicates=one, width=fits, most=width * one, pace=None, stacked=stacked)
        except Interrupted:
            raise
        except Exception:
            _log.warning("no width", exc_info=True, extra={"action": "no_width", "model": trial.model})
            return cls(replicates=one, width=1, most=one, pace=None, stacked=stacked)

    def trials(self, held: int, *, width: int) -> int:
        """How many more trials to take in beside `held` members; memory may have made stacks narrower, to `width`."""
        more = (self.most if width >= self.width else min(max(width, self.replicates), self.most)) - held
        if self.pace is not None and held and not self.pace.pays(held, more):
            return 0
        return more // self.replicates
