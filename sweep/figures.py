"""Pictures of what was observed, as PNG: what all of them share, and the results of a sweep."""

import io
from collections.abc import Sequence
from contextlib import AbstractContextManager

import numpy as np
from matplotlib import rc_context
from matplotlib.artist import Artist
from matplotlib.axis import Axis
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.legend import Legend
from matplotlib.ticker import MaxNLocator, ScalarFormatter
from numpy.typing import NDArray
from PIL import Image

from .results import Contender, Results, ScenarioResult

DPI = 100
LEFT, RIGHT, _BELOW, _ABOVE = 0.85, 0.15, 0.55, 0.45
"""Inches: around the axes of a panel, where a number at a tick has at most five digits."""
_HANDLE = 0.6
"""Inches: of what a legend has beside its texts, and around it."""
_TICKS, _STEPS = 5, (1, 2, 5, 10)
_ALMOST_WHITE = 251
OKABE_ITO = ("#0072B2", "#E69F00", "#009E73", "#D55E00", "#CC79A7", "#56B4E9", "#F0E442", "#000000")
"""Colours that the colour-blind can tell apart (Okabe and Ito 2008)."""


class Backdrop:
    """The part of a figure that is the same in many pictures, drawn once: all that is not animated."""

    def __init__(self, figure: Figure) -> None:
        """Draws it."""
        self._figure, self._canvas = figure, FigureCanvasAgg(figure)
        _draw(self._canvas)
        self._drawn = self._canvas.copy_from_bbox(figure.bbox)  # type: ignore[no-untyped-call]

    def png(self, changing: Sequence[Artist]) -> bytes:
        """The picture with these drawn on it, in this order, as a PNG file."""
        self._canvas.restore_region(self._drawn)  # type: ignore[no-untyped-call]
        with _unhinted():
            for artist in changing:
                self._figure.draw_artist(artist)
        return _packed(self._canvas)


def ticks(low: float, high: float, *, is_whole: bool = False) -> NDArray[np.floating]:
    """Few and round numbers from `low` or less to `high` or more."""
    return np.asarray(MaxNLocator(_TICKS, integer=is_whole, steps=_STEPS).tick_values(low, high))


def few_ticks(axis: Axis, *, is_whole: bool = False) -> None:
    """Few and short numbers at the ticks, so that what is beside them is clear of them, known before they are drawn."""
    low, high = axis.get_view_interval()
    found = ticks(low, high, is_whole=is_whole)
    axis.set_ticks(found[(found >= low) & (found <= high)])  # making those beyond takes as long as drawing them would
    axis.set_major_formatter(short := ScalarFormatter())
    short.set_powerlimits((-3, 4))


def arrange(
    figure: Figure, panel: tuple[float, float], *, columns: int = 1, legend: Legend | None, right: float = RIGHT
) -> None:
    """Panels of one size in a row, and the legend beside them: matplotlib's own layouts draw everything twice."""
    if legend is not None:
        renderer = FigureCanvasAgg(figure).get_renderer()  # type: ignore[no-untyped-call]
        widths = [
            renderer.get_text_width_height_descent(text.get_text(), text.get_fontproperties(), False)[0]
            for text in (legend.get_title(), *legend.get_texts())
        ]
        right += max(widths) / DPI + _HANDLE
    width, height = columns * (LEFT + panel[0]) + right, _BELOW + panel[1] + _ABOVE
    figure.set_size_inches(width, height)
    figure.subplots_adjust(
        left=LEFT / width, right=1 - right / width, bottom=_BELOW / height, top=1 - _ABOVE / height,
        wspace=LEFT / panel[0],
    )  # fmt: skip


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


def png(figure: Figure, *, has_photos: bool = False) -> bytes:
    """The figure as a PNG file; without photos of 256 colours, a third of the size and quickly made."""
    canvas = FigureCanvasAgg(figure)
    _draw(canvas)
    return _packed(canvas, has_photos=has_photos)


def _draw(canvas: FigureCanvasAgg) -> None:
    with _unhinted():
        canvas.draw()  # type: ignore[no-untyped-call]


def _unhinted() -> AbstractContextManager[None]:
    """Hinting is a good part of the time of a text."""
    return rc_context({"text.hinting": "no_hinting"})


def _packed(canvas: FigureCanvasAgg, *, has_photos: bool = False) -> bytes:
    image = Image.fromarray(np.asarray(canvas.buffer_rgba())).convert("RGB")  # type: ignore[no-untyped-call]
    if not has_photos:
        image = image.quantize(256, method=Image.Quantize.FASTOCTREE)
        image.putpalette([255 if value > _ALMOST_WHITE else value for value in image.getpalette() or ()])
    file = io.BytesIO()
    image.save(file, "PNG", compress_level=1, dpi=(DPI, DPI))
    return file.getvalue()
