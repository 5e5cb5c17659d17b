"""What the terminal shows: tables of sweeps, trials and results, in words that claim no more than the intervals do."""

from collections.abc import Iterable

from rich import box
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from .client import Answer

_MAX_ALPHAS = 8
_LABEL_WIDTH = 24
_STATE_STYLES = {
    "finished": "green",
    "complete": "green",
    "failed": "red",
    "cancelled": "yellow",
    "running": "cyan",
}


def sweeps_table(sweeps: Iterable[Answer]) -> Table:
    """One line a sweep."""
    table = Table("id", "name", "state", "trials", "created")
    for sweep in sweeps:
        progress = sweep["progress"]
        ended = progress["total"] - progress["waiting"] - progress["running"]
        created = sweep["created_at"][:16].replace("T", " ")
        table.add_row(sweep["id"], Text(sweep["name"]), _state(sweep["state"]), f"{ended}/{progress['total']}", created)
    return table


def sweep_view(sweep: Answer, trials: list[Answer]) -> RenderableType:
    """A sweep: its scenarios with their class counts, then its trials."""
    scenarios = Table("scenario", "samples by class", title=Text(f"{sweep['name']} ({sweep['id']}, {sweep['state']})"))
    for scenario in sweep["scenarios"]:
        counts = ", ".join(f"{c}: {n}" for c, n in zip(sweep["classes"], scenario["counts"], strict=True))
        scenarios.add_row(f"{scenario['profile']} ×{scenario['ratio']:g}", Text(counts))
    table = Table("#", "scenario", "loss", "params", "state", "value", "reason")
    for trial in trials:
        scenario, value = trial["scenario"], trial["value"]
        table.add_row(
            str(trial["number"]),
            f"{scenario['profile']} ×{scenario['ratio']:g}",
            trial["loss"],
            Text(_params(trial["params"])),
            _state(trial["state"]),
            "" if value is None else f"{value:.4f}",
            Text(trial["reason"] or ""),
        )
    return Group(scenarios, table, Text(f"MLflow: {sweep['links']['mlflow'] or 'once a trial has begun'}"))


def results_view(results: Answer) -> RenderableType:
    """A table per scenario with a sentence on each baseline, then what the numbers cannot tell."""
    parts: list[RenderableType] = []
    for scenario in results["scenarios"]:
        parts += [_scenario_table(results, scenario), *_sentences(scenario), Text("")]
    return Group(*parts, *(Text(f"• {note}", style="dim") for note in results["notes"]))


def _scenario_table(results: Answer, scenario: Answer) -> Table:
    head, tail = max(scenario["counts"]), min(scenario["counts"])
    table = Table(
        title=f"{scenario['profile']}, ratio {scenario['ratio']:g} (classes of {head} to {tail} samples)",
        title_justify="left",
        title_style="bold",
        box=box.SIMPLE_HEAD,
        padding=(0, 1, 0, 0),
    )
    table.add_column("loss", min_width=_LABEL_WIDTH)
    objective = results["objective"]
    metrics = [objective, "balanced_accuracy" if objective == "worst_recall" else "worst_recall"]
    for metric in metrics:
        for part in ("validation", "test"):
            table.add_column(metric.replace("_", "\n") + f"\n{part}", justify="right", no_wrap=True)
    rows = [scenario["best"], *scenario["baselines"]] if scenario["best"] else scenario["baselines"]
    for row in rows:
        scores = [_score(row[part][metric]) for metric in metrics for part in ("validation", "test")]
        label = " ".join(filter(None, [row["loss"], _params(row["params"]), f"#{row['trial']}"]))
        table.add_row(Text(label), *scores)
    return table


def _sentences(scenario: Answer) -> list[Text]:
    if scenario["best"] is None:
        return [Text("No trial of the swept loss is complete.", style="yellow")]
    sentences = []
    if scenario["indistinguishable"] is not None and len(scenario["trials"]) > 1:
        sentences.append(Text(_on_alpha(scenario)))
    for gain in scenario["gains"]:
        ahead = gain["test"] is not None and gain["test"]["low"] is not None and gain["test"]["low"] > 0
        sentences.append(Text(f"On the test set {gain['verdict']}", style="green" if ahead else ""))
    return sentences


def _on_alpha(scenario: Answer) -> str:
    """Which point scored highest, and which others are as good as far as anybody can tell."""
    best, trials = scenario["best"], scenario["trials"]
    # Where more than alpha is searched a point is named by its trial's number.
    by_alpha = len({trial["params"]["alpha"] for trial in trials}) == len(trials)
    names = {t["trial"]: f"{t['params']['alpha']:.3g}" if by_alpha else f"#{t['trial']}" for t in trials}
    first = f"alpha={names[best['trial']]}" if by_alpha else names[best["trial"]]
    equals = scenario["indistinguishable"]["trials"]
    by_value = sorted(trials, key=lambda trial: trial["params"]["alpha"]) if by_alpha else trials
    others = [names[t["trial"]] for t in by_value if t["trial"] in equals and t["trial"] != best["trial"]]
    if not others:
        return f"{first} scored highest on validation, and the others can be told from it."
    listed = ", ".join(others[:_MAX_ALPHAS])
    more = f" and {len(others) - _MAX_ALPHAS} more" if len(others) > _MAX_ALPHAS else ""
    return f"{first} scored highest on validation, but cannot be told from {listed}{more}."


def _score(score: Answer) -> str:
    if score["low"] is None:
        return f"{100 * score['mean']:.1f}"
    return f"{100 * score['mean']:.1f} ± {50 * (score['high'] - score['low']):.1f}"


def _params(params: Answer) -> str:
    shown = {name: value for name, value in params.items() if value != 0 or name == "alpha"}
    return " ".join(f"{k}={v:.3g}" if isinstance(v, float) else f"{k}={v}" for k, v in shown.items())


def _state(state: str) -> Text:
    return Text(state, style=_STATE_STYLES.get(state, ""))


def addresses_view(addresses: Answer) -> str:
    """Where the services are, a line each."""
    listed = "\n".join(f"{name:<9}{address}" for name, address in addresses.items())
    return f"{listed}\nReady. Your own data sets go into the last of these. Ctrl-C stops everything."
