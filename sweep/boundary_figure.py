"""The picture of what a model predicts over the plane, as PNG."""

from collections.abc import Sequence
from functools import lru_cache

import numpy as np
from matplotlib.colors import ListedColormap
from matplotlib.figure import Figure
from numpy.typing import NDArray

from .figures import DPI, OKABE_ITO, Backdrop, arrange, few_ticks, plain

_PANEL = (5.4, 4.6)


def boundary_figure(
    labels_HW: NDArray[np.int64], points_N2: NDArray[np.floating], truth_N: NDArray[np.int64], *,
    extent: tuple[float, float, float, float], title: str, classes: Sequence[str],
) -> bytes:  # fmt: skip
    """What the model predicts over the plane, with the training samples on it."""
    points = [points_N2[truth_N == c] for c in range(len(classes))]
    labels = tuple(plain(f"{name} ({len(mine)})") for name, mine in zip(classes, points, strict=True))
    return plane(labels, extent).drawn(labels_HW, points, title=title)


class _Plane:
    """A picture of which the regions, the points and the title are drawn anew for each trial."""

    def __init__(self, labels: Sequence[str], extent: tuple[float, float, float, float]) -> None:
        figure = Figure(dpi=DPI)
        axes = figure.subplots()
        colours = [OKABE_ITO[c % len(OKABE_ITO)] for c in range(len(labels))]
        self._regions = axes.imshow(
            np.zeros((1, 1)), origin="lower", extent=extent, aspect="auto", cmap=ListedColormap(colours), alpha=0.35,
            vmin=-0.5, vmax=len(labels) - 0.5, interpolation="nearest", visible=False,
        )  # fmt: skip
        self._points = [
            axes.plot(
                [], [], ls="", marker="o", ms=3.5, mec="white", mew=0.4, color=colour, label=label, animated=True
            )[0]
            for colour, label in zip(colours, labels, strict=True)
        ]
        axes.set(xlim=extent[:2], ylim=extent[2:])
        few_ticks(axes.xaxis)
        few_ticks(axes.yaxis)
        legend = figure.legend(handles=self._points, title="class (samples)", loc="center right", fontsize=8)
        self._title = figure.suptitle("", fontsize=11, animated=True)
        arrange(figure, _PANEL, legend=legend)
        self._backdrop = Backdrop(figure)
        self._regions.set_visible(True)  # an image is drawn whether it is animated or not

    def drawn(self, labels_HW: NDArray[np.int64], points: Sequence[NDArray[np.floating]], *, title: str) -> bytes:
        """The picture of one trial, the points (N, 2) by class."""
        self._regions.set_data(labels_HW)
        for line, points_N2 in zip(self._points, points, strict=True):
            line.set_data(points_N2[:, 0], points_N2[:, 1])
        self._title.set_text(plain(title))
        return self._backdrop.png([self._regions, *self._points, self._title])


plane = lru_cache(maxsize=8)(_Plane)
"""The same for all trials of a scenario."""
