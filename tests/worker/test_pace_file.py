"""Paces on disk: what cannot be one is said and measured again, and what cannot be kept is used all the same."""

from pathlib import Path
from typing import Any, cast

import pytest

from worker import pace as pace_module
from worker.pace import Pace, Paces

MEASURED = Pace(seconds={1: 1.0, 2: 1.2}, member_bytes=10)
WORK = cast("Any", None), cast("Any", type("Data", (), {"device": type("Device", (), {"type": "cuda"})}))
"""A member and data of a device that no other process disturbs."""


@pytest.fixture(autouse=True)
def measured(monkeypatch: pytest.MonkeyPatch) -> list[Pace]:
    """The paces that were measured."""
    found: list[Pace] = []
    monkeypatch.setattr(pace_module, "_kind", lambda members, data, **_: "kind")
    monkeypatch.setattr(pace_module, "measure", lambda members, data, **_: found.append(MEASURED) or MEASURED)
    return found


def of(seconds: str) -> bytes:
    return b'{"seconds": %b, "member_bytes": 5}' % seconds.encode()


@pytest.mark.parametrize(
    "spoiled",
    [
        b"", b"null", bytes(range(256)), b'{"seconds": {"1": 1.0}, "member_bytes": 0}', of('{"1": 1.0'), of("{}"),
        of('{"0": 1.0, "1": 1.0}'), of('{"-4": 1.0, "1": 2.0}'), of('{"1": NaN}'), of('{"1": -1.0}'), of('{"2": 1.0}'),
        of('{"1": 1.0, "100000000": 2.0}'),
    ],
)  # fmt: skip
def test_a_file_that_is_no_pace_is_said_in_a_line_measured_again_and_written_over(
    spoiled: bytes, tmp_path: Path, measured: list[Pace], caplog: pytest.LogCaptureFixture
) -> None:
    assert Paces(tmp_path).of(*WORK) == MEASURED
    (kept,) = tmp_path.iterdir()
    whole = kept.read_bytes()
    kept.write_bytes(spoiled)
    assert Paces(tmp_path).of(*WORK) == MEASURED
    assert len(measured) == 2
    assert kept.read_bytes() == whole
    (line,) = (record for record in caplog.records if record.action == "width_refused")  # type: ignore[attr-defined]
    assert (line.file, "\n" in line.reason, line.exc_info) == (str(kept), False, None)  # type: ignore[attr-defined]
    assert Paces(tmp_path).of(*WORK) == MEASURED
    assert len(measured) == 2


def test_a_file_that_cannot_be_replaced_leaves_nothing_beside_it(
    tmp_path: Path, measured: list[Pace], caplog: pytest.LogCaptureFixture
) -> None:
    Paces(tmp_path).of(*WORK)
    (kept,) = tmp_path.iterdir()
    kept.unlink()
    kept.mkdir()
    assert Paces(tmp_path).of(*WORK) == MEASURED
    assert list(tmp_path.iterdir()) == [kept]
    (line,) = (record for record in caplog.records if record.action == "width_not_kept")  # type: ignore[attr-defined]
    assert str(kept) in line.reason  # type: ignore[attr-defined]
