"""PostgreSQL dies and comes back again and again under load: what was acknowledged is there, and nothing twice."""

import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from sweep.errors import DatabaseAway
from sweep.reconcile import Reconciler
from sweep.settings import Settings
from sweep.store import Store, Sweep
from sweep.studies import Studies

from ..conftest import impatient
from ..postgres import Postgres
from .claimants import NOBODY, at_once, toil

pytestmark = pytest.mark.chaos  # minutes with the others of its kind: make test-chaos

Submit = Callable[..., Sweep]
_RESTARTS = 3
ONE_RATIO = {"profile": "exponential", "ratios": [10]}


@pytest.fixture
def database(postgres: Postgres, template: str) -> Iterator[str]:
    """A database on PostgreSQL alone."""
    url = postgres.make(template=template)
    yield url
    postgres.drop(url)


def test_restarts_under_load_lose_nothing_and_double_nothing(
    postgres: Postgres, database: str, store: Store, studies: Studies, submit: Submit, tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    for name, value in Settings().mlflow_environment.items():
        monkeypatch.setenv(name, value)
    enough = tmp_path / "enough"
    restarts = threading.Thread(target=_restart, args=(postgres,))
    added = []
    with ThreadPoolExecutor(1) as pool:
        toiled = pool.submit(at_once, toil, [(database, f"worker-{n}", str(enough)) for n in range(3)])
        try:
            added.append(submit(sampler="random", trials=8, imbalance=ONE_RATIO))
            _await_all_at_work(store, studies, added[0])
            restarts.start()
            while restarts.is_alive():
                added.append(submit(sampler="random", trials=4, imbalance=ONE_RATIO))
                time.sleep(0.25)
        finally:
            enough.touch()
        told = [one for each in toiled.result() for one in each]
    assert sorted(sweep.id for sweep in store.open_sweeps()) == sorted(sweep.id for sweep in added)
    Reconciler(store, studies, impatient(NOBODY), holder="ann", grace_s=1).run()
    slots = [(sweep.id, slot) for sweep in added for slot in studies.slots(sweep)]
    assert [(sweep, slot.number, slot.state) for sweep, slot in slots if slot.state != "complete"] == []
    assert [
        (sweep, slot.number, [attempt.outcome for attempt in slot.attempts])
        for sweep, slot in slots
        if [attempt.outcome for attempt in slot.attempts].count("complete") != 1
        or any(attempt.runs or attempt.waits for attempt in slot.attempts)
    ] == []
    assert Counter(told) == Counter((sweep, slot.number) for sweep, slot in slots)


def test_a_server_that_stays_away_is_named_without_its_password(
    postgres: Postgres, database: str, store: Store, submit: Submit
) -> None:
    sweep = submit()
    postgres.stop()
    try:
        began = time.monotonic()
        with pytest.raises(DatabaseAway, match=r"postgresql\+psycopg://evenhand@127.0.0.1.* does not answer"):
            store.get(sweep.id)
        assert 10 <= time.monotonic() - began < 20
        with pytest.raises(DatabaseAway, match="EVENHAND_DATABASE_URL"):
            store.ping()  # tried once
    finally:
        postgres.start()
    assert store.get(sweep.id) == sweep


def _restart(postgres: Postgres) -> None:
    for _ in range(_RESTARTS):
        time.sleep(1)
        postgres.stop()
        time.sleep(0.5)
        postgres.start()


def _await_all_at_work(store: Store, studies: Studies, sweep: Sweep) -> None:
    """Whoever connects during a restart is told so and ends; these are there before."""
    deadline = time.monotonic() + 60
    while len(store.living(grace_s=60)) < 3 or not any(slot.state == "complete" for slot in studies.slots(sweep)):
        assert time.monotonic() < deadline
        time.sleep(0.05)
