"""The picture of one trial: importance and recall of every class over time, and what that does to the step, as PNG."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import PolyCollection
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.text import Text
from numpy.typing import NDArray

from .figures import DPI, LEFT, OKABE_ITO, RIGHT, Backdrop, arrange, few_ticks, plain, ticks
from .metric_keys import MAX_CLASS_CURVES

_PANEL = (4.7, 3.6)
_LABELS_X = -0.62
"""Inches from the axes to the middle of the label at their left."""
_MARGIN = 1.04
"""How far axes go beyond their last tick."""
_MAX_LEGEND = 20
_QUANTILES = {"largest": 1.0, "90 %": 0.9, "median": 0.5, "10 %": 0.1, "least": 0.0}
"""What is drawn of more classes than can be told apart, the largest first."""

Colour = str | tuple[float, float, float]


@dataclass(frozen=True, slots=True)
class ClassCurves:
    """A value per class over time: `x_S` (S,), `values_RSC` (replicates, S, classes)."""

    x_S: NDArray[np.floating]
    values_RSC: NDArray[np.floating]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Panel:
    """What is the same of a panel in the pictures of many trials."""

    x_label: str
    y_label: str
    x_top: float
    y_top: float


def classes_figure(
    importance: ClassCurves | None,
    recall: ClassCurves,
    pace: Sequence[tuple[float, float]],
    *,
    epochs: int,
    title: str,
    classes: Sequence[str],
    counts: Sequence[int],
) -> bytes:
    """Every class in one picture, from head (dark) to tail (bright): importance by step, validation recall by epoch.

    Where there is an importance, beside them what it does to the step: `pace` holds the mean weight and the effective
    learning rate of every epoch. There is room for all of `epochs` in it, so that trials can be laid side by side.
    """
    labels = [f"{name} ({count})" for name, count in zip(classes, counts, strict=True)]
    order = sorted(range(len(classes)), key=lambda c: -counts[c])
    if len(classes) > MAX_CLASS_CURVES:  # nobody reads hundreds of curves
        labels, order = list(_QUANTILES), list(range(len(_QUANTILES)))
        recall, importance = _quantiles(recall), importance and _quantiles(importance)
    curves, panels = [recall], [_panel(recall, "epoch", "validation recall", x_top=epochs)]
    weights, rates = np.array(pace, dtype=float).T
    rate_top = None
    if importance is not None:
        plain_rate = float(np.max(rates[weights > 0] / weights[weights > 0], initial=0.0)) or 1.0
        rate_top = _top(rates, least=plain_rate)
        steps = len(importance.x_S) / len(pace) * epochs
        curves.insert(0, importance)
        panels.insert(0, _panel(importance, "step", "importance", x_top=steps))
        panels.append(_Panel(x_label="epoch", y_label="mean weight of a sample", x_top=epochs, y_top=_top(weights)))
    shared = frame(
        tuple(plain(labels[c]) for c in order), tuple(panels),
        rate_top=rate_top, has_bands=len(recall.values_RSC) > 1,
    )  # fmt: skip
    return shared.drawn([ClassCurves(c.x_S, c.values_RSC[:, :, order]) for c in curves], weights, rates, title=title)


class _Frame:
    """A picture of which the curves and the title are drawn anew for each trial."""

    def __init__(
        self, labels: Sequence[str], panels: Sequence[_Panel], rate_top: float | None, has_bands: bool
    ) -> None:
        figure = Figure(dpi=DPI)
        grid = figure.subplots(1, len(panels), squeeze=False)[0]
        for axes, panel in zip(grid, panels, strict=True):
            axes.set(xlabel=panel.x_label, ylabel=panel.y_label)
            axes.grid(alpha=0.3)
            _scale(axes, x_top=panel.x_top, y_top=panel.y_top)
        colours = [_ranked(rank, len(labels)) for rank in range(len(labels))]
        by_class = grid if rate_top is None else grid[:-1]
        self._curves = [
            [_line(axes, colour, label) for colour, label in zip(colours, labels, strict=True)] for axes in by_class
        ]
        self._bands = [_bands(axes, colours) for axes in by_class] if has_bands else []
        self._pace: list[Line2D] = []
        if rate_top is not None:
            right = grid[-1].twinx()
            right.set_ylabel("learning rate × mean weight (dashed)", color=OKABE_ITO[3])
            _scale(right, x_top=panels[-1].x_top, y_top=rate_top, labels_x=_PANEL[0] - _LABELS_X)
            self._pace = [_line(grid[-1], "black"), _line(right, OKABE_ITO[3], ls="--")]
        legend = None
        if len(labels) <= _MAX_LEGEND:
            legend = figure.legend(handles=self._curves[0], title="class (samples)", loc="center right", fontsize=8)
        self._title: Text = figure.suptitle("", fontsize=11, animated=True)
        arrange(figure, _PANEL, columns=len(panels), legend=legend, right=RIGHT if rate_top is None else LEFT)
        self._backdrop = Backdrop(figure)

    def drawn(
        self, curves: Sequence[ClassCurves], weights: NDArray[np.floating], rates: NDArray[np.floating], *, title: str
    ) -> bytes:
        """The picture of one trial; the curves by panel, their classes in the order of the labels."""
        for lines, of in zip(self._curves, curves, strict=True):
            for line, mean_S in zip(lines, of.values_RSC.mean(axis=0).T, strict=True):
                _set(line, of.x_S, mean_S)
        for bands, of in zip(self._bands, curves, strict=bool(self._bands)):
            bands.set_verts(list(_outlines(of.x_S, of.values_RSC.min(axis=0), of.values_RSC.max(axis=0))))
        for line, values in zip(self._pace, (weights, rates), strict=bool(self._pace)):
            _set(line, np.arange(1.0, len(values) + 1), values)
        self._title.set_text(plain(title))
        lines = [line for panel in self._curves for line in panel]
        return self._backdrop.png([*self._bands, *lines, *self._pace, self._title])


frame = lru_cache(maxsize=8)(_Frame)
"""The same for all trials of a scenario that are as long: a frame takes longer to draw than what is in it."""


def _panel(curves: ClassCurves, x_label: str, y_label: str, *, x_top: float) -> _Panel:
    y_label = f"{y_label} (mean, range of {len(curves.values_RSC)} replicates)"
    return _Panel(x_label=x_label, y_label=y_label, x_top=x_top, y_top=_top(curves.values_RSC))


def _top(values: NDArray[np.floating], *, least: float = 1.0) -> float:
    """The tick at or above `least` and all values: most trials of a scenario have one scale."""
    highest = float(np.nanmax(values, initial=least))
    return float(ticks(0.0, float(f"{highest:.6g}"))[-1])  # a trace of rounding would be another scale


def _scale(axes: Axes, *, x_top: float, y_top: float, labels_x: float = _LABELS_X) -> None:
    """From 0, over whole steps or epochs, with the label `labels_x` inches from the left end."""
    axes.set(xlim=(0, x_top), ylim=(0, y_top))
    few_ticks(axes.xaxis, is_whole=True)
    few_ticks(axes.yaxis)
    axes.set(xlim=(0, _MARGIN * x_top), ylim=(0, _MARGIN * y_top))
    axes.yaxis.set_label_coords(labels_x / _PANEL[0], 0.5)


def _line(axes: Axes, colour: Colour, label: str = "", ls: str = "-") -> Line2D:
    (line,) = axes.plot([], [], lw=1.4, ls=ls, color=colour, label=label, animated=True)
    return line


def _set(line: Line2D, x_S: NDArray[np.floating], y_S: NDArray[np.floating]) -> None:
    line.set_data(x_S, y_S)
    line.set_marker("." if len(x_S) == 1 else "")  # a line through one point is none


def _bands(axes: Axes, colours: Sequence[Colour]) -> PolyCollection:
    bands = PolyCollection([], facecolors=colours, alpha=0.12, lw=0, animated=True)
    axes.add_collection(bands, autolim=False)
    return bands


def _outlines(x_S: NDArray[np.floating], *bounds_SC: NDArray[np.floating]) -> NDArray[np.floating]:
    """Of the band of each class (C, 2 S, 2): there along the lower bound, back along the upper."""
    low_CS, high_CS = (bound_SC.T for bound_SC in bounds_SC)
    y_CP = np.concatenate([low_CS, high_CS[:, ::-1]], axis=1)
    return np.stack([np.broadcast_to(np.concatenate([x_S, x_S[::-1]]), y_CP.shape), y_CP], axis=-1)


def _quantiles(curves: ClassCurves) -> ClassCurves:
    values = np.nanquantile(curves.values_RSC, list(_QUANTILES.values()), axis=-1)
    return ClassCurves(curves.x_S, np.moveaxis(values, 0, -1))


def _ranked(rank: int, ranks: int) -> Colour:
    """Dark blue for the head, by way of grey to yellow for the tail: cividis, which the colour-blind can read."""
    share = rank / max(ranks - 1, 1)
    return (0.0 + 0.95 * share, 0.13 + 0.72 * share, 0.38 - 0.15 * share)
