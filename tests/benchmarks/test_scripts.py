"""Every benchmark can be started, and what it looks into is there."""

import sys
from importlib import import_module

import pytest

from benchmarks.__main__ import ROOT
from benchmarks.profile import PHASES

MODULES = [file for file in sorted((ROOT / "benchmarks").rglob("*.py")) if not file.stem.startswith("__")]
NAMES = {".".join(file.relative_to(ROOT).with_suffix("").parts): file.read_text() for file in MODULES}
SCRIPTS = ["benchmarks.__main__", *(name for name, text in NAMES.items() if "__main__" in text)]


@pytest.mark.parametrize("name", NAMES)
def test_every_module_can_be_imported(name: str) -> None:
    assert import_module(name).__doc__


@pytest.mark.parametrize("name", SCRIPTS)
def test_every_script_says_what_it_does(
    name: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    script = import_module(name)
    monkeypatch.setattr(sys, "argv", [name, "--help"])

    with pytest.raises(SystemExit) as ended:
        script.main()

    assert ended.value.code == 0
    assert str(script.__doc__).split("\n")[0] in capsys.readouterr().out


@pytest.mark.parametrize(("home", "name"), [(home, name) for home, name, _ in PHASES], ids=str)
def test_what_the_profile_times_is_there(home: object, name: str) -> None:
    assert callable(getattr(home, name))
