"""The profile of an epoch names what there is."""

import pytest

from benchmarks.profile import PHASES


@pytest.mark.parametrize(("home", "name"), [(home, name) for home, name, _ in PHASES])
def test_every_phase_of_an_epoch_is_there(home: object, name: str) -> None:
    assert callable(getattr(home, name))
