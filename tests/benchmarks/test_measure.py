"""What a benchmark found is kept as a table and as JSON; a quick run, whose numbers mean nothing, is only shown."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks import scaling
from benchmarks.__main__ import ROOT, SCRIPTS, command
from benchmarks.measure import ORDER, RESULTS, Ratio, joined, keep

ROWS = [{"work": "digits", "s": 1.23456, "over": Ratio.of([4.0, 9.0], [2.0, 3.0])}]


@pytest.mark.parametrize(
    ("rounds", "said"),
    [([0.98, 1.0, 1.05], "met"), ([0.87, 1.0, 1.28], "not resolved"), ([1.06, 1.07, 1.1], "not met")],
)
def test_an_aim_is_met_only_where_every_round_meets_it(rounds: list[float], said: str) -> None:
    assert Ratio.over(rounds).at_most(1.05) == said


def test_one_round_has_no_spread() -> None:
    assert str(Ratio.of([3.42], [2.0])) == "1.71×"
    assert str(Ratio.of([4.0, 9.0], [2.0, 3.0])) == "2.5× (2–3)"


def test_a_run_is_kept_as_it_is_shown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)

    shown = keep("pace", ROWS, notes=["By hand."], quick=False)

    assert "| digits | 1.23 | 2.5× (2–3) |\n\nBy hand.\n\n" in shown
    assert (RESULTS / "pace.md").read_text() == shown + "\n"
    kept = json.loads((RESULTS / "pace.json").read_text())
    assert kept["rows"] == [{"work": "digits", "s": 1.23456, "over": {"median": 2.5, "low": 2, "high": 3}}]
    assert kept["notes"] == ["By hand."]


def test_what_one_benchmark_keeps_is_joined_with_the_other_tables(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    keep("loss", ROWS, notes=["Of yesterday."], quick=False)
    keep("overhead", ROWS, notes=[], quick=False)

    keep("loss", ROWS, notes=["Of today."], quick=False)

    text = (RESULTS / "README.md").read_text()
    assert text.index("Of today.") < text.index("## overhead")
    assert "Of yesterday." not in text


def test_the_text_of_all_results_has_the_tables_as_they_are_now() -> None:
    assert (ROOT / RESULTS / "README.md").read_text() == joined(ROOT / RESULTS)


def test_every_benchmark_has_its_place_among_the_results() -> None:
    assert set(SCRIPTS) <= set(ORDER)
    assert {path.stem.partition("_")[0] for path in (ROOT / RESULTS).glob("*.md")} - {"README"} <= set(ORDER)


def test_a_quick_run_is_shown_as_one_and_written_nowhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)

    shown = keep("pace", ROWS, notes=["By hand."], quick=True)

    assert "| digits | 1.23 | 2.5× (2–3) |\n\nBy hand.\n\nA quick run, to see that it works" in shown
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
def test_a_script_that_is_run_quickly_keeps_nothing(tmp_path: Path) -> None:
    line = command("loss", data_dir=tmp_path / "data", quick=True)
    python_path = os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])

    done = subprocess.run(
        line, cwd=tmp_path, env=os.environ | {"PYTHONPATH": python_path}, capture_output=True, text=True, check=True
    )

    assert_nothing_kept("loss", done.stdout, tmp_path)


@pytest.mark.slow
def test_a_script_that_also_draws_keeps_nothing_either(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", command("scaling", data_dir=tmp_path / "data", quick=True)[2:])

    scaling.main()

    assert_nothing_kept("scaling", capsys.readouterr().out, tmp_path)


def assert_nothing_kept(name: str, shown: str, folder: Path) -> None:
    assert f"## {name}\n" in shown
    assert "its numbers mean nothing" in shown
    assert not (folder / RESULTS).exists()


def test_all_tables_are_joined_in_the_order_of_the_benchmarks(tmp_path: Path) -> None:
    for name in ("outage", "loss_alone", "profile_bounds", "loss", "throughput"):
        (tmp_path / f"{name}.md").write_text(f"## {name}\n")

    titles = [line for line in joined(tmp_path).splitlines() if line.startswith("## ")]

    assert titles == ["## throughput", "## loss", "## loss_alone", "## outage", "## profile_bounds"]
