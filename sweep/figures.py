"""Pictures of what was observed, as PNG."""

import io
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.colors import ListedColormap
from matplotlib.figure import Figure
from numpy.typing import NDArray

from .metric_keys import MAX_CLASS_CURVES
from .results import Contender, Results, ScenarioResult

_MAX_LEGEND = 20
_QUANTILES = {"largest": 1.0, "90 %": 0.9, "median": 0.5, "10 %": 0.1, "least": 0.0}
"""What is drawn of more classes than can be told apart, the largest first."""
OKABE_ITO = ("#0072B2", "#E69F00", "#009E73", "#D55E00", "#CC79A7", "#56B4E9", "#F0E442", "#000000")
"""Colours that the colour-blind can tell apart (Okabe and Ito 2008)."""


@dataclass(frozen=True, slots=True)
class ClassCurves:
    """A value per class over time: `x_S` (S,), `values_RSC` (replicates, S, classes)."""

    x_S: NDArray[np.floating]
    values_RSC: NDArray[np.floating]


def importance_figure(
    importance: ClassCurves | None,
    recall: ClassCurves,
    pace: Sequence[tuple[float, float]],
    *,
    title: str,
    classes: Sequence[str],
    counts: Sequence[int],
) -> bytes:
    """Every class in one picture, from head (dark) to tail (bright): importance by step, validation recall by epoch.

    Where there is an importance, beside them what it does to the step: `pace` holds the mean weight and the effective
    learning rate of every epoch.
    """
    labels = [f"{name} ({count})" for name, count in zip(classes, counts, strict=True)]
    order = sorted(range(len(classes)), key=lambda c: -counts[c])
    if len(classes) > MAX_CLASS_CURVES:  # nobody reads hundreds of curves
        labels, order = list(_QUANTILES), list(range(len(_QUANTILES)))
        recall, importance = _quantiles(recall), importance and _quantiles(importance)
    panels = [(recall, "epoch", "validation recall")]
    if importance is not None:
        panels.insert(0, (importance, "step", "importance"))
    columns = len(panels) + (importance is not None)
    figure = Figure(figsize=(5.6 * columns + 1.5, 4.6), layout="constrained")
    grid = figure.subplots(1, columns, squeeze=False)[0]
    for axes, (curves, x_label, y_label) in zip(grid, panels, strict=False):
        mean_SC = curves.values_RSC.mean(axis=0)
        for rank, c in enumerate(order):
            colour = _ranked(rank, len(order))
            axes.plot(curves.x_S, mean_SC[:, c], color=colour, lw=1.4, label=plain(labels[c]))
            if len(curves.values_RSC) > 1:
                low_S, high_S = curves.values_RSC[:, :, c].min(axis=0), curves.values_RSC[:, :, c].max(axis=0)
                axes.fill_between(curves.x_S, low_S, high_S, color=colour, alpha=0.12, lw=0)
        axes.set(xlabel=x_label, ylabel=f"{y_label} (mean, range of {len(curves.values_RSC)} replicates)")
        axes.set_ylim(bottom=0)
        axes.grid(alpha=0.3)
    if importance is not None:
        _pace(grid[-1], pace)
    if len(labels) <= _MAX_LEGEND:
        handles, texts = axes.get_legend_handles_labels()
        figure.legend(handles, texts, title="class (samples)", loc="outside right center", fontsize=8)
    figure.suptitle(plain(title), fontsize=11)
    return png(figure)


def _quantiles(curves: ClassCurves) -> ClassCurves:
    values = np.nanquantile(curves.values_RSC, list(_QUANTILES.values()), axis=-1)
    return ClassCurves(curves.x_S, np.moveaxis(values, 0, -1))


def _pace(axes, pace: Sequence[tuple[float, float]]) -> None:  # type: ignore[no-untyped-def]
    weights, rates = zip(*pace, strict=True)
    epochs = range(1, len(pace) + 1)
    (weight,) = axes.plot(epochs, weights, color="black", lw=1.4, label="mean weight")
    axes.set(xlabel="epoch", ylabel="mean weight of a sample", ylim=(0, None))
    axes.grid(alpha=0.3)
    right = axes.twinx()
    (rate,) = right.plot(epochs, rates, color=OKABE_ITO[3], lw=1.4, ls="--", label="effective learning rate")
    right.set(ylabel="learning rate × mean weight", ylim=(0, None))
    axes.legend(handles=[weight, rate], fontsize=8)


def boundary_figure(
    labels_HW: NDArray[np.int64], points_N2: NDArray[np.floating], truth_N: NDArray[np.int64], *,
    extent: tuple[float, float, float, float], title: str, classes: Sequence[str],
) -> bytes:  # fmt: skip
    """What the model predicts over the plane, with the training samples on it."""
    figure = Figure(figsize=(6.4, 5.4), layout="constrained")
    axes = figure.subplots()
    colours = [OKABE_ITO[c % len(OKABE_ITO)] for c in range(len(classes))]
    axes.imshow(
        labels_HW, origin="lower", extent=extent, aspect="auto", cmap=ListedColormap(colours), alpha=0.35,
        vmin=-0.5, vmax=len(classes) - 0.5, interpolation="nearest",
    )  # fmt: skip
    for c, name in enumerate(classes):
        mine = points_N2[truth_N == c]
        axes.scatter(
            mine[:, 0],
            mine[:, 1],
            s=12,
            color=colours[c],
            edgecolor="white",
            lw=0.4,
            label=plain(f"{name} ({len(mine)})"),
        )
    axes.set_title(plain(title), fontsize=11)
    axes.legend(title="class (samples)", fontsize=8)
    return png(figure)


def results_figure(results: Results) -> bytes:
    """Test and validation score over alpha, one column a scenario, the baselines as bands."""
    columns = len(results.scenarios)
    figure = Figure(figsize=(4.3 * columns + 1.8, 6.4), layout="constrained")
    grid = figure.subplots(2, columns, squeeze=False, sharex=True, sharey="row")
    for column, scenario in enumerate(results.scenarios):
        for row, part in enumerate(("validation", "test")):
            axes = grid[row][column]
            _score_over_alpha(axes, scenario, part=part, metric=results.objective)
            axes.grid(alpha=0.3)
            if column == 0:
                axes.set_ylabel(f"{results.objective.replace('_', ' ')}, {part}")
            if row == 0:
                axes.set_title(f"{scenario.profile}, ratio {scenario.ratio:g}")
            else:
                axes.set_xlabel("alpha")
    handles, labels = grid[0][0].get_legend_handles_labels()
    if handles:
        figure.legend(handles, labels, loc="outside right center", fontsize=9)
    figure.suptitle(f"{plain(results.name)}: mean and 95 % interval over {results.replicates} replicates", fontsize=12)
    return png(figure)


def _score_over_alpha(axes, scenario: ScenarioResult, *, part: str, metric: str) -> None:  # type: ignore[no-untyped-def]
    swept = sorted((c for c in scenario.trials if "alpha" in c.params), key=lambda c: float(c.params["alpha"]))
    if swept:
        alphas = [float(contender.params["alpha"]) for contender in swept]
        means, below, above = zip(*(_ends(contender, part, metric) for contender in swept), strict=True)
        axes.errorbar(alphas, means, yerr=(below, above), fmt="o-", ms=4, capsize=3, color="black", label=swept[0].loss)
        if min(alphas) > 0:
            axes.set_xscale("log")
    for index, baseline in enumerate(scenario.baselines):
        colour = OKABE_ITO[index % len(OKABE_ITO)]
        mean, below_, above_ = _ends(baseline, part, metric)
        axes.axhline(mean, color=colour, ls="--", lw=1.2, label=baseline.loss)
        axes.axhspan(mean - below_, mean + above_, color=colour, alpha=0.1, lw=0)


def _ends(contender: Contender, part: str, metric: str) -> tuple[float, float, float]:
    score = (contender.validation if part == "validation" else contender.test)[metric]
    if score.low is None or score.high is None:
        return score.mean, 0.0, 0.0
    return score.mean, score.mean - score.low, score.high - score.mean


def plain(text: str) -> str:
    """The text for matplotlib, which would read dollars as mathematics and hide what begins with an underscore."""
    escaped = text.replace("$", r"\$")
    return f" {escaped}" if escaped.startswith("_") else escaped


def _ranked(rank: int, ranks: int) -> tuple[float, float, float]:
    """Dark blue for the head, by way of grey to yellow for the tail: cividis, which the colour-blind can read."""
    share = rank / max(ranks - 1, 1)
    return (0.0 + 0.95 * share, 0.13 + 0.72 * share, 0.38 - 0.15 * share)


def png(figure: Figure) -> bytes:
    """The figure as a PNG file."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=110)
    return buffer.getvalue()
