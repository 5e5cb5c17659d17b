"""What `evenhand up` gives its processes, short of starting them (tests/end_to_end/test_up.py does)."""

from pathlib import Path

import pytest

from service.up import Ports, Services
from sweep.settings import Settings


@pytest.mark.parametrize(
    ("given", "expected"), [({}, (2, 15)), ({"INTERVAL": "10"}, (10, 60)), ({"GRACE": "10"}, (5, 10))]
)
def test_beats_are_quick_unless_somebody_chose_their_pace(
    given: dict[str, str], expected: tuple[int, int], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("INTERVAL", "GRACE"):
        monkeypatch.delenv(f"EVENHAND_HEARTBEAT_{name}_S", raising=False)
    for name, value in given.items():
        monkeypatch.setenv(f"EVENHAND_HEARTBEAT_{name}_S", value)
    services = Services(tmp_path, Ports.free(), workers=0, say=print)
    for name, value in services._environment().items():
        monkeypatch.setenv(name, value)
    settings = Settings()
    assert (settings.heartbeat_interval_s, settings.heartbeat_grace_s) == expected
