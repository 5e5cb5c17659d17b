"""Claims by several processes at the same moment: every slot goes to exactly one of them."""

from collections.abc import Callable

import pytest

from sweep.store import Sweep
from sweep.studies import Studies

from ..slots import last, states
from .claimants import at_once, claim, claim_and_tell

pytestmark = pytest.mark.chaos  # minutes with the others of its kind: make test-chaos

Submit = Callable[..., Sweep]


def test_sixteen_claimants_of_ten_slots_get_exactly_ten(studies: Studies, laid: Submit, database: str) -> None:
    sweep = laid(sampler="random", trials=10)
    got = at_once(claim, [(database, sweep.id, f"worker-{n}", 1) for n in range(16)])
    assert sorted(number for numbers in got for number in numbers) == list(range(10))
    assert states(studies, sweep) == ["running"] * 10
    holders = {slot.number: last(slot).worker for slot in studies.slots(sweep)}
    assert holders == {number: f"worker-{n}" for n, numbers in enumerate(got) for number in numbers}


def test_every_slot_is_claimed_and_told_once_until_none_waits(studies: Studies, laid: Submit, database: str) -> None:
    sweep = laid(sampler="random", trials=60)
    told = at_once(claim_and_tell, [(database, sweep.id, f"worker-{n}", 3) for n in range(4)])
    assert sorted(number for numbers in told for number in numbers) == list(range(60))
    assert sum(bool(numbers) for numbers in told) > 1
    slots = studies.slots(sweep)
    assert [(slot.state, len(slot.attempts)) for slot in slots] == [("complete", 1)] * 60
    assert {n: {slot.number for slot in slots if last(slot).worker == f"worker-{n}"} for n in range(4)} == {
        n: set(numbers) for n, numbers in enumerate(told)
    }
