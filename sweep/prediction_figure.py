"""Test images with their truth and what models predict, side by side, as PNG: for labels by pixel."""

import io
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.colors import ListedColormap
from matplotlib.figure import Figure, SubFigure
from matplotlib.patches import Patch
from numpy.typing import NDArray

from .figures import OKABE_ITO, plain, png

_IGNORED = 255
_FIRST = "#D9D9D9"
"""Of the first class, which is most often the background."""
_INCHES = 1.55


@dataclass(frozen=True, slots=True, eq=False)
class Predictions:
    """K test images (K, channels, H, W), their truth (K, H, W), and what one replicate of a trial predicts for them."""

    images: NDArray[np.uint8]
    truth: NDArray[np.uint8]
    prediction: NDArray[np.uint8]
    seed: int

    def as_bytes(self) -> bytes:
        """The arrays as an .npz file."""
        buffer = io.BytesIO()
        np.savez_compressed(
            buffer, images=self.images, truth=self.truth, prediction=self.prediction, seed=np.array(self.seed)
        )
        return buffer.getvalue()

    @classmethod
    def from_bytes(cls, content: bytes) -> "Predictions":
        """What `as_bytes` wrote."""
        with np.load(io.BytesIO(content), allow_pickle=False) as arrays:
            return cls(arrays["images"], arrays["truth"], arrays["prediction"], int(arrays["seed"]))


@dataclass(frozen=True, slots=True, eq=False)
class Section:
    """The predictions of one scenario: `columns` are labelled, all on the same images."""

    title: str
    columns: Sequence[tuple[str, Predictions]]


def predictions_figure(sections: Sequence[Section], *, title: str, classes: Sequence[str]) -> bytes:
    """A row an image, a column a model, one section below the other; classes in a legend."""
    rows = [len(section.columns[0][1].images) for section in sections]
    columns = 2 + max(len(section.columns) for section in sections)
    height = sum(rows) * _INCHES + 0.55 * len(sections) + 0.8
    figure = Figure(figsize=(columns * _INCHES + 1.7, height), layout="constrained")
    parts = figure.subfigures(len(sections), 1, squeeze=False, height_ratios=[row * _INCHES + 0.55 for row in rows])
    colours = class_colours(len(classes))
    for part, section in zip(parts[:, 0], sections, strict=True):
        _draw(part, section, columns=columns, colours=colours)
    handles = [Patch(facecolor=colour, edgecolor="black", lw=0.4) for colour in colours]
    figure.legend(handles, [plain(name) for name in classes], title="class", loc="outside right center", fontsize=8)
    figure.suptitle(plain(title), fontsize=10)
    return png(figure)


def class_colours(classes: int) -> list[str]:
    """A colour a class that the colour-blind can tell apart, as far as there are: light grey, then Okabe and Ito's."""
    palette = [_FIRST, *OKABE_ITO]
    greys = (f"{0.15 + 0.7 * label / classes:.3f}" for label in range(len(palette), classes))
    return [*palette[:classes], *greys]


def _draw(part: SubFigure, section: Section, *, columns: int, colours: Sequence[str]) -> None:
    first = section.columns[0][1]
    grid = part.subplots(len(first.images), columns, squeeze=False)
    for axes in grid.flat:
        axes.set(xticks=[], yticks=[])
        axes.axis("off")
    headed = [("truth", first.truth), *((label, shown.prediction) for label, shown in section.columns)]
    for row, image_CHW in enumerate(first.images):
        grid[row][0].imshow(image_CHW.transpose(1, 2, 0).squeeze(), cmap="gray")
        for column, (_, masks_KHW) in enumerate(headed, start=1):
            _show_mask(grid[row][column], masks_KHW[row], ignored=first.truth[row] == _IGNORED, colours=colours)
    for axes, head in zip(grid[0], ["image", *(head for head, _ in headed)], strict=False):
        axes.set_title(plain(head), fontsize=8)
    part.suptitle(plain(section.title), fontsize=9, x=0.01, ha="left")


def _show_mask(axes, mask_HW, *, ignored, colours) -> None:  # type: ignore[no-untyped-def]
    shown = np.ma.masked_array(mask_HW, mask=ignored)
    axes.imshow(shown, cmap=ListedColormap(colours), vmin=-0.5, vmax=len(colours) - 0.5, interpolation="nearest")
