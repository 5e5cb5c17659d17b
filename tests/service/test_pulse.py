"""The health of a worker's container: signs of life of this host in the database, and of no other."""

import socket
from pathlib import Path

import pytest

from service import pulse
from sweep.database import engine_for, migrate
from sweep.presence import Presence


def test_a_host_is_well_where_one_of_its_workers_was_seen_of_late(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("EVENHAND_DATA_DIR", str(tmp_path))
    engine = engine_for(f"sqlite:///{tmp_path / 'evenhand.db'}")
    migrate(engine)
    presence = Presence(engine)
    presence.beat(f"{socket.gethostname()}-2-7-abcd")  # of a host whose name begins alike
    assert pulse.main() == 1
    presence.beat(f"{socket.gethostname()}-7-abcd")
    assert pulse.main() == 0
    presence.sign_off(f"{socket.gethostname()}-7-abcd")
    assert pulse.main() == 1


def test_without_a_database_nobody_is_well(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("EVENHAND_DATABASE_URL", "postgresql+psycopg://nobody@127.0.0.1:1/none")
    assert pulse.main() == 1
    assert "127.0.0.1" in capsys.readouterr().err
