"""Pictures of what was observed, as PNG."""

import io
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.collections import PolyCollection
from matplotlib.colors import ListedColormap
from matplotlib.figure import Figure
from matplotlib.legend import Legend
from matplotlib.ticker import MaxNLocator, ScalarFormatter
from numpy.typing import NDArray
from PIL import Image

from .metric_keys import MAX_CLASS_CURVES
from .results import Contender, Results, ScenarioResult

_DPI = 100
_PANEL, _PLANE = (4.7, 3.6), (5.4, 4.6)
_LEFT, _RIGHT, _BELOW, _ABOVE = 0.85, 0.15, 0.55, 0.45
"""Inches: of the axes of a panel, and around them, where a number at a tick has at most five digits."""
_HANDLE = 0.6
"""Inches: of what a legend has beside its texts, and around it."""
_LABELS_X = -0.62
"""Inches from the axes to the middle of the label at their left."""
_TICKS, _STEPS = 5, (1, 2, 5, 10)
_ALMOST_WHITE = 251
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
    figure, columns = Figure(dpi=_DPI), len(panels) + (importance is not None)
    grid = figure.subplots(1, columns, squeeze=False)[0]
    for axes, (curves, x_label, y_label) in zip(grid, panels, strict=False):
        values_RSC = curves.values_RSC[:, :, order]
        colours = [_ranked(rank, len(order)) for rank in range(len(order))]
        axes.set_prop_cycle(color=colours)
        axes.plot(curves.x_S, values_RSC.mean(axis=0), lw=1.4, label=[plain(labels[c]) for c in order])
        if len(values_RSC) > 1:
            outlines = _outlines(curves.x_S, values_RSC.min(axis=0), values_RSC.max(axis=0))
            axes.add_collection(PolyCollection(list(outlines), facecolors=colours, alpha=0.12, lw=0))
        axes.set(xlabel=x_label, ylabel=f"{y_label} (mean, range of {len(curves.values_RSC)} replicates)")
        _scaled(axes)
        axes.grid(alpha=0.3)
    if importance is not None:
        _pace(grid[-1], pace)
    legend = None
    if len(labels) <= _MAX_LEGEND:
        handles, texts = axes.get_legend_handles_labels()
        legend = figure.legend(handles, texts, title="class (samples)", loc="center right", fontsize=8)
    figure.suptitle(plain(title), fontsize=11)
    _arrange(figure, _PANEL, columns=columns, legend=legend, right=_RIGHT if importance is None else _LEFT)
    return png(figure)


def _outlines(x_S: NDArray[np.floating], *bounds_SC: NDArray[np.floating]) -> NDArray[np.floating]:
    """Of the band of each class (C, 2 S, 2): there along the lower bound, back along the upper."""
    low_CS, high_CS = (bound_SC.T for bound_SC in bounds_SC)
    y_CP = np.concatenate([low_CS, high_CS[:, ::-1]], axis=1)
    return np.stack([np.broadcast_to(np.concatenate([x_S, x_S[::-1]]), y_CP.shape), y_CP], axis=-1)


def _few_ticks(axis: Axis, *, is_whole: bool = False) -> None:
    """Few and short numbers at the ticks, so that what is beside them is clear of them, known before they are drawn."""
    low, high = axis.get_view_interval()
    ticks = np.asarray(MaxNLocator(_TICKS, integer=is_whole, steps=_STEPS).tick_values(low, high))
    axis.set_ticks(ticks[(ticks >= low) & (ticks <= high)])  # making those beyond takes as long as drawing them would
    axis.set_major_formatter(short := ScalarFormatter())
    short.set_powerlimits((-3, 4))


def _scaled(axes: Axes, *, labels_x: float = _LABELS_X) -> None:
    """From 0, over whole steps or epochs, with the label `labels_x` inches from the left end."""
    axes.set_ylim(bottom=0)
    _few_ticks(axes.xaxis, is_whole=True)
    _few_ticks(axes.yaxis)
    axes.yaxis.set_label_coords(labels_x / _PANEL[0], 0.5)


def _arrange(
    figure: Figure, panel: tuple[float, float], *, columns: int = 1, legend: Legend | None, right: float = _RIGHT
) -> None:
    """Panels of one size in a row, and the legend beside them: matplotlib's own layouts draw everything twice."""
    if legend is not None:
        renderer = FigureCanvasAgg(figure).get_renderer()  # type: ignore[no-untyped-call]
        widths = [
            renderer.get_text_width_height_descent(text.get_text(), text.get_fontproperties(), False)[0]
            for text in (legend.get_title(), *legend.get_texts())
        ]
        right += max(widths) / _DPI + _HANDLE
    width, height = columns * (_LEFT + panel[0]) + right, _BELOW + panel[1] + _ABOVE
    figure.set_size_inches(width, height)
    figure.subplots_adjust(
        left=_LEFT / width, right=1 - right / width, bottom=_BELOW / height, top=1 - _ABOVE / height,
        wspace=_LEFT / panel[0],
    )  # fmt: skip


def _quantiles(curves: ClassCurves) -> ClassCurves:
    values = np.nanquantile(curves.values_RSC, list(_QUANTILES.values()), axis=-1)
    return ClassCurves(curves.x_S, np.moveaxis(values, 0, -1))


def _pace(axes: Axes, pace: Sequence[tuple[float, float]]) -> None:
    weights, rates = zip(*pace, strict=True)
    epochs = range(1, len(pace) + 1)
    axes.plot(epochs, weights, color="black", lw=1.4)
    axes.set(xlabel="epoch", ylabel="mean weight of a sample")
    _scaled(axes)
    axes.grid(alpha=0.3)
    right = axes.twinx()
    right.plot(epochs, rates, color=OKABE_ITO[3], lw=1.4, ls="--")
    right.set_ylabel("learning rate × mean weight (dashed)", color=OKABE_ITO[3])
    _scaled(right, labels_x=_PANEL[0] - _LABELS_X)


def boundary_figure(
    labels_HW: NDArray[np.int64], points_N2: NDArray[np.floating], truth_N: NDArray[np.int64], *,
    extent: tuple[float, float, float, float], title: str, classes: Sequence[str],
) -> bytes:  # fmt: skip
    """What the model predicts over the plane, with the training samples on it."""
    figure = Figure(dpi=_DPI)
    axes = figure.subplots()
    colours = [OKABE_ITO[c % len(OKABE_ITO)] for c in range(len(classes))]
    axes.imshow(
        labels_HW, origin="lower", extent=extent, aspect="auto", cmap=ListedColormap(colours), alpha=0.35,
        vmin=-0.5, vmax=len(classes) - 0.5, interpolation="nearest",
    )  # fmt: skip
    for c, name in enumerate(classes):
        mine = points_N2[truth_N == c]
        axes.plot(
            mine[:, 0], mine[:, 1], ls="", marker="o", ms=3.5, mec="white", mew=0.4, color=colours[c],
            label=plain(f"{name} ({len(mine)})"),
        )  # fmt: skip
    axes.set(xlim=extent[:2], ylim=extent[2:])
    _few_ticks(axes.xaxis)
    _few_ticks(axes.yaxis)
    legend = figure.legend(title="class (samples)", loc="center right", fontsize=8)
    figure.suptitle(plain(title), fontsize=11)
    _arrange(figure, _PLANE, legend=legend)
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


def png(figure: Figure, *, has_photos: bool = False) -> bytes:
    """The figure as a PNG file; without photos of 256 colours, a third of the size and quickly made."""
    drawn, file = io.BytesIO(), io.BytesIO()
    with rc_context({"text.hinting": "no_hinting"}):  # hinting is a good part of the time of a text
        figure.savefig(drawn, format="rgba", dpi=_DPI)
    size = (int(figure.get_figwidth() * _DPI), int(figure.get_figheight() * _DPI))
    image = Image.frombytes("RGBA", size, drawn.getvalue()).convert("RGB")
    if not has_photos:
        image = image.quantize(256, method=Image.Quantize.FASTOCTREE)
        image.putpalette([255 if value > _ALMOST_WHITE else value for value in image.getpalette() or ()])
    image.save(file, "PNG", compress_level=1, dpi=(_DPI, _DPI))
    return file.getvalue()
