"""Test images with their truth and what models predict, side by side, as PNG: for labels by pixel."""

import io
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.colors import ListedColormap, to_hex
from matplotlib.figure import Figure, SubFigure
from matplotlib.patches import Patch
from numpy.typing import NDArray

from .datasets.dataset import IGNORED
from .figures import OKABE_ITO, plain, png

_FIRST = "#D9D9D9"
"""Of the first class, which is most often the background."""
_INCHES = 1.55
_NAMES_A_COLUMN = 25


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
    colours = class_colours(len(classes), shown=_classes_shown(sections, len(classes)))
    for part, section in zip(parts[:, 0], sections, strict=True):
        _draw(part, section, columns=columns, colours=colours)
    shown = _classes_shown(sections, len(classes))
    handles = [
        Patch(facecolor=colours[label], edgecolor="black", lw=0.4, label=plain(classes[label])) for label in shown
    ]
    if any((section.columns[0][1].truth == IGNORED).any() for section in sections):
        handles.append(Patch(facecolor="white", edgecolor="black", hatch="///", lw=0.4, label="ignored"))
    columns_of_names = 1 + len(handles) // _NAMES_A_COLUMN
    figure.legend(handles=handles, title="class", loc="outside right center", fontsize=8, ncols=columns_of_names)
    figure.suptitle(plain(title), fontsize=10)
    return png(figure, has_photos=True)


def class_colours(classes: int, *, shown: Sequence[int]) -> list[str]:
    """A colour a class, told apart by the colour-blind for the first nine that are `shown`: grey, Okabe and Ito's.

    Further ones share the range from dark blue to yellow (cividis), where the legend's order has to help.
    """
    palette = [_FIRST, *OKABE_ITO]
    colours = dict.fromkeys(range(classes), "#FFFFFF") | dict(zip(shown, palette, strict=False))
    for rank, label in enumerate(shown[len(palette) :]):
        colours[label] = to_hex(colormaps["cividis"](rank / max(len(shown) - len(palette), 1)))
    return list(colours.values())


def _classes_shown(sections: Sequence[Section], classes: int) -> list[int]:
    """The labels to name, in ascending order: all where each can have a colour, else those in any picture."""
    if classes <= 1 + len(OKABE_ITO):
        return list(range(classes))
    found = {
        int(label)
        for section in sections
        for _, seen in section.columns
        for masks in (seen.truth, seen.prediction)
        for label in np.unique(masks)
    }
    return sorted(found - {IGNORED})


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
            _show_mask(grid[row][column], masks_KHW[row], ignored=first.truth[row] == IGNORED, colours=colours)
    for axes, head in zip(grid[0], ["image", *(head for head, _ in headed)], strict=False):
        axes.set_title(plain(head), fontsize=8)
    part.suptitle(plain(section.title), fontsize=9, x=0.01, ha="left")


def _show_mask(axes: Axes, mask_HW: NDArray[np.uint8], *, ignored: NDArray[np.bool_], colours: Sequence[str]) -> None:
    shown = np.ma.masked_array(mask_HW, mask=ignored)
    axes.imshow(shown, cmap=ListedColormap(colours), vmin=-0.5, vmax=len(colours) - 0.5, interpolation="nearest")
