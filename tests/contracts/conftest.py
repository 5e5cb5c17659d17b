"""The same contract on SQLite and on PostgreSQL: every test here runs on a database of its own on both."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from sweep.database import engine_for, migrate
from sweep.store import Sweep
from sweep.studies import Studies

from ..postgres import Postgres, own_database

Submit = Callable[..., Sweep]
BACKENDS = ["sqlite", "postgresql"]


@pytest.fixture(scope="session")
def template(postgres: Postgres) -> str:
    """The name of a database with all tables, of which copies are quicker than new ones."""
    url = postgres.make()
    engine = engine_for(url)
    migrate(engine)
    engine.dispose()
    Studies(url, max_retry=1).close()
    return url.rpartition("/")[2]


@pytest.fixture(params=BACKENDS)
def database(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """The address of a database of the test's own; its tables may be there already."""
    yield from own_database(request.param, request, tmp_path, template="template")


@pytest.fixture(params=BACKENDS)
def empty(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """The address of a database without any tables."""
    yield from own_database(request.param, request, tmp_path)


@pytest.fixture
def laid(submit: Submit, studies: Studies) -> Submit:
    """Submits a sweep and lays its slots."""

    def lay(**fields: object) -> Sweep:
        sweep = submit(**{"imbalance": {"profile": "exponential", "ratios": [10]}, **fields})
        studies.lay(sweep, studies.slots(sweep))
        return sweep

    return lay
