"""`evenhand migrate`, and databases of other versions than ours."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from alembic import command
from alembic.config import Config
from sqlalchemy import text

from sweep.database import engine_for, migrate, version
from sweep.errors import OtherVersion
from sweep.store import Store, Sweep
from sweep.studies import Studies
from sweep.tables import VERSION_TABLE
from sweep.upgrade import main, upgrade

from ..postgres import Postgres

HEAD = "0002"


def evenhand_migrate(url: str, *options: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", "from service.cli import main; main()", "migrate", *options],
        env=os.environ | {"EVENHAND_DATABASE_URL": url}, capture_output=True, text=True, check=False,
    )  # fmt: skip


@pytest.fixture
def migrated_here(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[[str], tuple[int, str, str]]:
    """Exit code and output of what `evenhand migrate` becomes, in the tests' own process."""

    def migrate_here(url: str) -> tuple[int, str, str]:
        monkeypatch.setenv("EVENHAND_DATABASE_URL", url)
        monkeypatch.setattr(sys, "argv", ["upgrade"])
        return main(), *capsys.readouterr()

    return migrate_here


def test_the_command_says_which_version_the_database_was_and_is(empty: str) -> None:
    first, second = evenhand_migrate(empty), evenhand_migrate(empty, "--json")
    assert (first.returncode, second.returncode) == (0, 0), first.stderr + second.stderr
    assert first.stdout.startswith(f"The database was empty and is of version {HEAD}; Optuna's tables are of version v")
    answer = json.loads(second.stdout)
    assert (answer["was"], answer["is"]) == (HEAD, HEAD)
    assert answer["optuna"] in first.stdout


def test_a_database_that_lacks_our_tables_gets_them(database: str, store: Store, studies: Studies) -> None:
    with store._engine.begin() as connection:
        for table in ("sweeps", "leases", "workers", "version"):
            connection.execute(text(f"DROP TABLE evenhand_{table}"))
    assert upgrade(database) == (None, HEAD, studies.version)
    assert store.open_sweeps() == []


def test_sweeps_of_an_older_version_are_kept(
    database: str, store: Store, studies: Studies, submit: Callable[..., Sweep]
) -> None:
    sweeps = [submit(), submit()]
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parents[2] / "sweep/migrations"))
    with store._engine.begin() as connection:
        config.attributes["connection"] = connection
        command.downgrade(config, "0001")
    with store._engine.begin() as connection:
        assert connection.execute(text("SELECT * FROM evenhand_sweeps")).keys().isdisjoint({"idempotency_key"})
    assert upgrade(database) == ("0001", HEAD, studies.version)
    assert store.open_sweeps() == sweeps


def test_a_database_of_a_newer_version_is_left_alone_and_said_so(
    database: str, store: Store, migrated_here: Callable[[str], tuple[int, str, str]]
) -> None:
    with store._engine.begin() as connection:
        connection.execute(text(f"UPDATE {VERSION_TABLE} SET version_num = '9999'"))
    with pytest.raises(OtherVersion, match=rf"version 9999, .* up to {HEAD}\. Update Evenhand"):
        migrate(store._engine)
    assert version(store._engine) == "9999"
    code, shown, said = migrated_here(database)
    assert (code, shown) == (1, "")
    assert said.count("\n") == 1


def test_optunas_tables_of_a_newer_version_are_left_alone_too(database: str, store: Store, studies: Studies) -> None:
    with store._engine.begin() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = 'v99.0.0.a'"))
    with pytest.raises(OtherVersion, match=r"version v99\.0\.0\.a"):
        Studies(database, max_retry=1)


def test_a_database_that_the_server_lacks_is_made(postgres: Postgres) -> None:
    url = postgres.url('made "by" us')
    assert upgrade(url)[0] is None
    engine = engine_for(url)
    assert version(engine) == HEAD
    engine.dispose()
    postgres.execute('DROP DATABASE "made ""by"" us" WITH (FORCE)')


@pytest.mark.parametrize("host", ["127.0.0.1:1", "no-such-host.invalid"])
def test_a_server_out_of_reach_is_named_without_the_password(
    host: str, migrated_here: Callable[[str], tuple[int, str, str]]
) -> None:
    code, shown, said = migrated_here(f"postgresql+psycopg://ann:geheim@{host}/x?password=geheim")
    assert (code, shown) == (1, "")
    assert f"postgresql+psycopg://ann:***@{host}/x does not answer" in said
    assert "EVENHAND_DATABASE_URL" in said
    assert "geheim" not in said


def test_the_command_fails_without_a_trace_or_a_password() -> None:
    done = evenhand_migrate("postgresql+psycopg://ann:geheim@127.0.0.1:1/x")
    assert (done.returncode, done.stdout) == (1, "")
    assert "does not answer" in done.stderr
    assert "geheim" not in done.stderr
    assert "Traceback" not in done.stderr


def test_an_address_of_another_kind_is_bad_usage(tmp_path: Path) -> None:
    done = evenhand_migrate("mysql://ann:geheim@somewhere/x")
    assert done.returncode == 2
    assert "EVENHAND_DATABASE_URL" in done.stderr
    assert "geheim" not in done.stderr
