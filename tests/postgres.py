"""A real PostgreSQL server for the tests: its own cluster in a folder of its own, gone at the end."""

import os
import pwd
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path

import psycopg
import pytest

_FOLDERS = Path("/usr/lib/postgresql")
_USER = "evenhand"


class Postgres:
    """A server on the loopback address, and the databases that were made in it."""

    def __init__(self, binaries: Path, folder: Path) -> None:
        """Makes the cluster; `start` starts it."""
        self._binaries, self._folder = binaries, folder
        self._numbers = count(1)
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port: int = probe.getsockname()[1]
        self._run("initdb", "--username", _USER, "--auth", "trust", "--encoding", "UTF8", "--no-sync")

    def start(self) -> None:
        """Returns once the server takes connections."""
        options = f"-p {self.port} -k {self._folder} -c listen_addresses=127.0.0.1 -c shared_buffers=32MB"
        self._run("pg_ctl", "-w", "-o", options, "-l", str(self._folder / "server.log"), "start")

    def stop(self) -> None:
        """Returns once the server is gone, as after a power cut: nobody is waited for and nothing is tidied up."""
        self._run("pg_ctl", "-w", "-m", "immediate", "stop")

    def url(self, database: str) -> str:
        """The SQLAlchemy address of a database of that name."""
        return f"postgresql+psycopg://{_USER}@127.0.0.1:{self.port}/{database}"

    def make(self, *, template: str = "template1") -> str:
        """The address of a new database, a copy of `template`."""
        name = f"test_{next(self._numbers)}"
        self.execute(f"CREATE DATABASE {name} TEMPLATE {template}")
        return self.url(name)

    def drop(self, url: str) -> None:
        """Drops a database, whoever is connected to it."""
        self.execute(f"DROP DATABASE IF EXISTS {url.rpartition('/')[2]} WITH (FORCE)")

    def execute(self, statement: str) -> None:
        """Does one thing on the server, outside of any transaction."""
        with psycopg.connect(f"host=127.0.0.1 port={self.port} user={_USER} dbname=postgres", autocommit=True) as there:
            there.execute(statement)  # type: ignore[call-overload]

    def _run(self, program: str, *arguments: str) -> None:
        command = [str(self._binaries / program), "-D", str(self._folder / "cluster"), *arguments]
        with tempfile.TemporaryFile() as said:  # a pipe would be held open by the server
            done = subprocess.run(
                command, stdout=said, stderr=said, cwd=self._folder, check=False, timeout=60, **_stepping_down()
            )
            if done.returncode:
                said.seek(0)
                raise RuntimeError(f"{program} ended with {done.returncode}:\n{said.read().decode()}")


def binaries() -> Path | None:
    """The folder of PostgreSQL's programs, the newest there is; None where there are none."""
    found = shutil.which("initdb")
    if found:
        return Path(found).resolve().parent
    newest = sorted(_FOLDERS.glob("*/bin/initdb"), key=lambda path: int(path.parts[-3]))
    return newest[-1].parent if newest else None


@contextmanager
def running(programs: Path) -> Iterator[Postgres]:
    """A server while the block runs. Its folder is not pytest's, which another user may not enter."""
    folder = Path(tempfile.mkdtemp(prefix="evenhand-postgres-"))
    if _is_root():
        os.chown(folder, _servant().pw_uid, _servant().pw_gid)
    try:
        postgres = Postgres(programs, folder)
        postgres.start()
        try:
            yield postgres
        finally:
            postgres.stop()
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _is_root() -> bool:
    return os.geteuid() == 0


def _servant() -> pwd.struct_passwd:
    """Whom the server runs as where we are root, which it refuses."""
    known: Callable[[str], pwd.struct_passwd] = pwd.getpwnam
    try:
        return known("postgres")
    except KeyError:
        return known("nobody")


def _stepping_down() -> dict[str, object]:
    if not _is_root():
        return {}
    return {"user": _servant().pw_uid, "group": _servant().pw_gid, "extra_groups": []}


def own_database(
    backend: str, request: pytest.FixtureRequest, folder: Path, *, template: str | None = None
) -> Iterator[str]:
    """The address of a test's own database, for a fixture; on PostgreSQL a copy of what fixture `template` names."""
    if backend == "sqlite":
        yield f"sqlite:///{folder / 'evenhand.db'}"
        return
    postgres: Postgres = request.getfixturevalue("postgres")
    url = postgres.make(template=request.getfixturevalue(template)) if template else postgres.make()
    yield url
    postgres.drop(url)
