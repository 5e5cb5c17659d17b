"""A work whose data are missing is left out of every benchmark with a word, and the others are timed."""

import sys
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from types import ModuleType

import pytest

from benchmarks import outage, overhead, profile, scaling, service, throughput
from benchmarks.works import WORKS, Work, prepared_works
from sweep.datasets import builtin

SAID = "fashion_mnist was left out"


@pytest.fixture(autouse=True)
def _without_fashion_mnist(monkeypatch: pytest.MonkeyPatch) -> None:
    """Even where the system has it."""
    here_alone = replace(builtin.FASHION_MNIST, places=("fashion_mnist",))
    monkeypatch.setattr(builtin, "FASHION_MNIST", here_alone)


def test_a_work_without_data_is_left_out_with_a_word(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found, (note,) = prepared_works([WORKS["fashion_mnist"], WORKS["digits"]], tmp_path)

    assert [prepared.work.name for prepared in found] == ["digits"]
    assert note.startswith(f"{SAID}: ") and str(tmp_path) in note
    assert SAID in capsys.readouterr().err


def test_where_no_work_has_data_there_is_nothing_to_time(tmp_path: Path) -> None:
    with pytest.raises(SystemExit, match="nothing to time"):
        prepared_works([WORKS["fashion_mnist"]], tmp_path)


@pytest.mark.parametrize("script", [throughput, service, overhead, scaling, profile, outage])
def test_every_benchmark_asks_which_works_have_data(
    script: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def asked(chosen: Iterable[Work], data_dir: Path, **_: object) -> None:
        assert data_dir == tmp_path
        sys.exit(" ".join(work.name for work in chosen))

    monkeypatch.setattr(script, "prepared_works", asked)
    monkeypatch.setattr(sys, "argv", ["benchmark", "--data", str(tmp_path)])

    with pytest.raises(SystemExit, match="fashion_mnist"):
        script.main()
