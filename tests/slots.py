"""Slots claimed by hand, and what is to be seen of them."""

from sweep.slots import Attempt, Slot, SlotState
from sweep.store import Sweep
from sweep.studies import Claim, Studies


def states(studies: Studies, sweep: Sweep) -> list[SlotState]:
    return [slot.state for slot in studies.slots(sweep)]


def claim_one(studies: Studies, sweep: Sweep, worker: str = "ann") -> Claim:
    (claim,) = studies.claim(sweep, worker=worker, width=1)
    return claim


def last(slot: Slot) -> Attempt:
    assert slot.last is not None
    return slot.last
