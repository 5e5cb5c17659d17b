"""Real parts for the tests: a data folder, a database file, one MLflow server for the whole session."""

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import pytest
from sqlalchemy import Engine

from sweep.database import engine_for, exclusive, migrate
from sweep.datasets import DatasetInfo, Datasets
from sweep.problems import parse_sweep
from sweep.reconcile import Reconciler
from sweep.resolve import ResolvedSweep, resolve
from sweep.settings import Settings
from sweep.store import DatasetMark, Store, Sweep
from sweep.studies import Studies
from sweep.tracking import Tracking

from .gate import Gate
from .postgres import Postgres, binaries, running

BODY: Mapping[str, object] = {"dataset": "digits", "imbalance": {"profile": "exponential", "ratios": [1, 10]}}
_READY_WITHIN_S = 90
os.environ.setdefault("OMP_NUM_THREADS", "1")
"""As workers train; set before torch is imported. On models as small as the tests' several threads mostly wait for each
other, and on a busy machine for minutes."""

Resolve = Callable[..., ResolvedSweep]
Submit = Callable[..., Sweep]


@pytest.fixture(scope="session")
def digits(tmp_path_factory: pytest.TempPathFactory) -> DatasetInfo:
    """The facts of `digits`, as any data folder has them."""
    return Datasets(tmp_path_factory.mktemp("digits")).info("digits")


@pytest.fixture
def resolved(digits: DatasetInfo) -> Resolve:
    """The smallest body over `digits` with the given fields changed, resolved."""
    return lambda **fields: resolve(parse_sweep(json.dumps({**BODY, **fields})), digits)


@pytest.fixture
def database(tmp_path: Path) -> str:
    """The address of a new SQLite file."""
    return f"sqlite:///{tmp_path / 'evenhand.db'}"


@pytest.fixture(scope="session")
def postgres() -> Iterator[Postgres]:
    """A real PostgreSQL server, started once; skips where its programs are not installed."""
    programs = binaries()
    if programs is None:
        pytest.skip("PostgreSQL's initdb is neither on PATH nor under /usr/lib/postgresql (apt-get install postgresql)")
    with running(programs) as postgres:
        yield postgres


@pytest.fixture
def engine(database: str) -> Iterator[Engine]:
    """An engine on the database, our tables in it."""
    engine = engine_for(database)
    with exclusive(database):
        migrate(engine)
    yield engine
    engine.dispose()


@pytest.fixture
def store(engine: Engine) -> Store:
    """An empty store."""
    return Store(engine)


@pytest.fixture
def studies(engine: Engine, database: str) -> Iterator[Studies]:
    """The queue on the same database; a lost attempt is replaced twice."""
    with exclusive(database):
        studies = Studies(database, max_retry=2)
    yield studies
    studies.close()


@pytest.fixture
def submit(store: Store, resolved: Resolve, digits: DatasetInfo) -> Submit:
    """Stores the sweep that `resolved` answers; its slots are not laid yet."""
    mark = DatasetMark(classes=digits.classes, content=digits.content)
    return lambda **fields: store.add(resolved(**fields), mark)


@pytest.fixture(scope="session")
def mlflow_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a real MLflow server, started once and gone with its whole process group at the end."""
    folder = tmp_path_factory.mktemp("mlflow")
    environment = Settings().mlflow_environment
    os.environ.update(environment)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [
        sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(port), "--workers", "1",
        "--backend-store-uri", f"sqlite:///{folder / 'mlflow.db'}", "--artifacts-destination", str(folder / "files"),
    ]  # fmt: skip
    with (folder / "server.log").open("w") as log:
        server = subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT, start_new_session=True)
    try:
        _await_health(f"http://127.0.0.1:{port}", server, folder / "server.log")
        yield f"http://127.0.0.1:{port}"
    finally:
        os.killpg(server.pid, signal.SIGTERM)
        server.wait(20)


@pytest.fixture
def mlflow(mlflow_url: str) -> Iterator[httpx.Client]:
    """MLflow's own REST API."""
    with httpx.Client(base_url=f"{mlflow_url}/api/2.0/mlflow", timeout=20) as client:
        yield client


@pytest.fixture
def tracking(mlflow_url: str) -> Tracking:
    """Our tracking on that server, patient without end."""
    return Tracking(mlflow_url, stop=threading.Event())


def impatient(uri: str) -> Tracking:
    """Tracking that tries once."""
    once = threading.Event()
    once.set()
    return Tracking(uri, stop=once)


@pytest.fixture
def reconciler(store: Store, studies: Studies, mlflow_url: str) -> Reconciler:
    """A reconciler as every worker has one."""
    return Reconciler(store, studies, impatient(mlflow_url), holder="ann", grace_s=60)


@pytest.fixture
def gate(mlflow_url: str) -> Iterator[Gate]:
    """MLflow behind a gate that is shut."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    address = urlsplit(mlflow_url)
    gate = Gate((str(address.hostname), int(address.port or 0)), port)
    yield gate
    for server in gate.servers:
        server.shutdown()
        server.socket.close()


def _await_health(url: str, server: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + _READY_WITHIN_S
    while time.monotonic() < deadline and server.poll() is None:
        try:
            if httpx.get(f"{url}/health").status_code == 200:
                return
        except httpx.TransportError:
            time.sleep(0.2)
    raise RuntimeError(f"MLflow did not start; it said:\n{log.read_text()}")
