"""What the terminal shows, as text: tables, and sentences that claim no more than the intervals do."""

import io
from typing import Any

import pytest
from rich.console import Console, RenderableType

from service.terminal import results_view, sweep_view, sweeps_table

from .running import Answer


def text(view: RenderableType) -> str:
    """A view as a wide terminal shows it, without colours."""
    console = Console(record=True, width=160, file=io.StringIO())
    console.print(view)
    return console.export_text()


def contender(loss: str, trial: int, mean: float, *, half: float | None = 0.01, **params: float) -> Answer:
    """A row of the results; `half` is half of its interval, None for one replicate."""
    ends = {"low": None, "high": None} if half is None else {"low": mean - half, "high": mean + half}
    score = {"mean": mean, "n": 1 if half is None else 3, **ends}
    scores = {"balanced_accuracy": score, "worst_recall": score}
    return {"loss": loss, "params": params, "trial": trial, "validation": scores, "test": scores}


def gain(verdict: str, low: float | None) -> Answer:
    """A gain over a baseline whose interval on the test set begins at `low`."""
    return {"baseline": "focal", "test": {"low": low}, "verdict": verdict}


def results(**changes: Any) -> Answer:
    """Results of one scenario with three trials, some fields of the scenario changed."""
    trials = [contender("adaptive", n, 0.8 + n / 100, alpha=alpha) for n, alpha in enumerate((0.1, 0.2, 0.0123))]
    scenario = {
        "profile": "exponential",
        "ratio": 10.0,
        "counts": [105, 10],
        "best": trials[2],
        "trials": trials,
        "baselines": [contender("focal", 3, 0.75, gamma=2.0)],
        "indistinguishable": {"trials": [0, 2], "alphas": [0.0123, 0.1], "low": 0.0123, "high": 0.1},
        "gains": [gain("adaptive and focal cannot be told apart (-1.0 to +2.0 points).", -0.01)],
    }
    return {
        "objective": "balanced_accuracy", "scenarios": [{**scenario, **changes}], "notes": ["Mind the replicates."],
    }  # fmt: skip


def test_results_show_a_row_for_the_best_and_each_baseline_in_percent() -> None:
    shown = text(results_view(results()))
    assert "exponential, ratio 10 (classes of 105 to 10 samples)" in shown
    (best,) = (line for line in shown.splitlines() if "#2" in line)
    assert best.split("#2")[0].split() == ["adaptive", "alpha=0.0123"]
    assert best.count("82.0 ± 1.0") == 4  # two metrics, validation and test
    (baseline,) = (line for line in shown.splitlines() if "#3" in line)
    assert baseline.split()[:3] == ["focal", "gamma=2", "#3"]
    assert baseline.count("75.0 ± 1.0") == 4
    assert "#1" not in shown
    assert "• Mind the replicates." in shown


def test_the_best_alpha_is_named_with_those_that_cannot_be_told_from_it() -> None:
    assert (
        "alpha=0.0123 scored highest on validation, but cannot be told from 0.1."
        in text(results_view(results()))
    )  # fmt: skip
    alone = results(indistinguishable={"trials": [2], "alphas": [0.0123], "low": 0.0123, "high": 0.0123})
    assert "and the others can be told from it." in text(results_view(alone))
    trials = [contender("adaptive", n, 0.8, alpha=n / 100) for n in range(1, 14)]
    equals = {"trials": list(range(1, 14)), "alphas": [n / 100 for n in range(1, 14)], "low": 0.01, "high": 0.13}
    crowd = text(results_view(results(trials=trials, best=trials[0], indistinguishable=equals)))
    assert "cannot be told from 0.02, 0.03, 0.04, 0.05, 0.06, 0.07, 0.08, 0.09 and 4 more." in crowd


def test_where_more_than_alpha_is_searched_a_point_is_named_by_its_trial() -> None:
    trials = [contender("adaptive", n, 0.8, alpha=0.1, lr=0.1 * (n + 1)) for n in range(3)]
    equals = {"trials": [0, 1], "alphas": [0.1], "low": 0.1, "high": 0.1}
    shown = text(results_view(results(trials=trials, best=trials[1], indistinguishable=equals)))
    assert "#1 scored highest on validation, but cannot be told from #0." in shown
    equals = {**equals, "trials": [1]}
    alone = text(results_view(results(trials=trials, best=trials[1], indistinguishable=equals)))
    assert "#1 scored highest on validation, and the others can be told from it." in alone


def test_a_lone_point_is_not_said_to_be_better_than_others() -> None:
    lone = contender("adaptive", 0, 0.8, half=None, alpha=0.1)
    equals = {"trials": [0], "alphas": [0.1], "low": 0.1, "high": 0.1}
    shown = text(results_view(results(best=lone, trials=[lone], indistinguishable=equals, gains=[])))
    assert "scored highest" not in shown
    assert "80.0" in shown
    assert next(line for line in shown.splitlines() if "#0" in line).count("±") == 0


@pytest.mark.parametrize(("low", "green"), [(0.01, True), (-0.01, False), (0.0, False), (None, False)])
def test_only_a_gain_whose_interval_is_above_zero_is_shown_in_green(low: float | None, green: bool) -> None:
    verdict = "adaptive against focal."
    said = io.StringIO()
    console = Console(file=said, width=160, force_terminal=True, color_system="standard", no_color=False)
    console.print(results_view(results(gains=[gain(verdict, low)])))
    line = next(line for line in said.getvalue().splitlines() if verdict in line)
    assert ("\x1b[32m" in line) == green


def test_results_without_a_complete_trial_say_so() -> None:
    shown = text(results_view(results(best=None, trials=[], indistinguishable=None, gains=[])))
    assert "No trial of the swept loss is complete." in shown
    assert "scored highest" not in shown
    assert "focal gamma=2 #3" in " ".join(shown.split())


def test_sweeps_are_listed_with_how_many_trials_have_ended() -> None:
    progress = {"total": 9, "waiting": 2, "running": 3, "complete": 1, "pruned": 1, "failed": 1, "cancelled": 1}
    sweep = {
        "id": "20260101-abcdef01", "name": "mine", "state": "running", "progress": progress,
        "created_at": "2026-01-01T10:20:30.123456Z",
    }  # fmt: skip
    row = next(line for line in text(sweeps_table([sweep])).splitlines() if "2026" in line)
    cells = [cell.strip() for cell in row.strip("│ ").split("│")]
    assert cells == ["20260101-abcdef01", "mine", "running", "4/9", "2026-01-01 10:20"]


def test_a_sweep_is_shown_with_its_counts_and_the_reason_of_every_failure() -> None:
    sweep = {
        "id": "s", "name": "mine", "state": "failed", "classes": ["cat", "dog"], "links": {"mlflow": None},
        "scenarios": [{"profile": "step", "ratio": 2.0, "counts": [20, 10]}],
    }  # fmt: skip
    trial = {
        "number": 0, "scenario": {"profile": "step", "ratio": 2.0}, "loss": "adaptive", "state": "failed",
        "params": {"alpha": 0.0, "label_smoothing": 0.0, "lr": 0.12345}, "value": None,
        "reason": "The loss became nan.",
    }  # fmt: skip
    done = trial | {"number": 1, "state": "complete", "value": 0.91236, "reason": None}
    shown = text(sweep_view(sweep, [trial, done]))
    assert "mine (s, failed)" in shown
    assert "│ step ×2  │ cat: 20, dog: 10 │" in shown
    failed = next(line for line in shown.splitlines() if "nan" in line)
    assert [cell.strip() for cell in failed.strip("│ ").split("│")] == [
        "0", "step ×2", "adaptive", "alpha=0 lr=0.123", "failed", "", "The loss became nan.",
    ]  # fmt: skip
    assert "│ 0.9124 │" in shown
    assert "MLflow: once a trial has begun" in shown


@pytest.mark.parametrize("name", ["mine [bold]", "[/red]", "[red]"])
def test_what_users_wrote_is_shown_as_it_is(name: str) -> None:
    progress = {"total": 1, "waiting": 1, "running": 0}
    sweep = {
        "id": "s", "name": name, "state": "queued", "progress": progress, "created_at": "2026-01-01T10:20:30Z",
        "classes": [name, "dog"], "scenarios": [{"profile": "step", "ratio": 2.0, "counts": [2, 1]}],
        "links": {"mlflow": None},
    }  # fmt: skip
    assert name in text(sweeps_table([sweep]))
    assert f"{name}: 2" in text(sweep_view(sweep, []))
