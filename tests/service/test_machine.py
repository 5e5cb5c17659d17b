"""What `evenhand worker` is given on the command line goes before the environment."""

import os

import pytest
from typer.testing import CliRunner

from service import machine
from service.cli import app


@pytest.mark.parametrize(
    ("option", "variable", "given"),
    [
        ("--width", "EVENHAND_WIDTH", "3"),
        ("--threads", "EVENHAND_THREADS", "2"),
        ("--drain-timeout", "EVENHAND_DRAIN_TIMEOUT_S", "0.0"),
    ],
)
def test_an_option_of_a_worker_is_a_setting_of_its_process(
    option: str, variable: str, given: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "environ", {**os.environ, variable: "1"})
    seen: list[str] = []
    monkeypatch.setattr(machine.os, "execv", lambda *_: seen.append(os.environ[variable]))
    monkeypatch.setattr(machine, "run_workers", lambda *_, **__: None)
    assert CliRunner().invoke(app, ["worker", option, given]).exit_code == 0
    assert seen == [given]


@pytest.mark.parametrize(
    ("option", "given"),
    [("--width", ""), ("--width", "AUTO"), ("--processes", ""), ("--threads", "0"), ("--threads", "1025")],
)
def test_what_no_setting_can_be_is_refused_by_the_options_name(
    option: str, given: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "environ", {**os.environ})
    monkeypatch.setattr(machine.os, "execv", lambda *_: pytest.fail("a worker was started"))
    done = CliRunner().invoke(app, ["worker", option, given])
    assert done.exit_code == 2
    assert option in done.output
