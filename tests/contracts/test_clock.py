"""Clocks of hosts that are an hour off: leases and signs of life go by the database's."""

import datetime as time
from collections.abc import Callable

import pytest
from optuna.storages._rdb import storage as optunas

from sweep import store as module
from sweep.store import Store, Sweep
from sweep.studies import Studies

from ..slots import last

Submit = Callable[..., Sweep]


@pytest.fixture(params=[-3600, 3600], ids=["behind", "ahead"])
def off(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    """Sets the host's clock an hour off from the call on."""

    class Off(time.datetime):
        @classmethod
        def now(cls, tz: time.tzinfo | None = None) -> time.datetime:  # type: ignore[override]
            return time.datetime.now(tz) + time.timedelta(seconds=request.param)

    def set_off() -> None:
        monkeypatch.setattr(module, "datetime", Off)
        monkeypatch.setattr(optunas, "datetime", Off)

    return set_off


def test_a_worker_whose_clock_is_off_lives_and_lets_others_live(store: Store, off: Callable[[], None]) -> None:
    store.beat("ann")
    off()
    store.beat("bob")
    assert store.living(grace_s=30) == {"ann", "bob"}


def test_a_lease_lasts_as_long_whatever_the_clocks_say(store: Store, off: Callable[[], None]) -> None:
    assert store.lease("look", holder="ann", seconds=60)
    off()
    assert not store.lease("look", holder="bob", seconds=60)
    assert store.lease("another", holder="bob", seconds=0)
    assert store.extend("look", holder="ann", seconds=0)


def test_an_attempt_without_a_name_has_its_grace_whatever_the_claimants_clock_says(
    studies: Studies, laid: Submit, off: Callable[[], None]
) -> None:
    sweep = laid(trials=1)
    off()
    assert studies._trials.take(last(studies.slots(sweep)[0]).trial_id)
    began = last(studies.slots(sweep)[0]).started_at
    assert began is not None
    assert abs((began - time.datetime.now(time.UTC)).total_seconds()) > 3000
    assert studies.give_up_lost(studies.slots(sweep), workers={"ann"}, grace_s=30) == []
    assert len(studies.give_up_lost(studies.slots(sweep), workers={"ann"}, grace_s=0)) == 1
