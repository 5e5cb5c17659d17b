"""The data set `shapes`: noisy colour images of shapes, one label a pixel, made to the pixel counts asked for.

Shapes: N images of (3, S, S), C classes of which the first is the background.
"""

import itertools
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..errors import DatasetError
from ..imbalance import pixel_counts
from ..parameter import Parameter
from .raw import DenseRaw, Source, first_then_test

Region = Callable[[NDArray[np.float64], NDArray[np.float64]], NDArray[np.bool_]]

_SEED = 20210828
_REGIONS: Mapping[str, Region] = {
    "disc": lambda u, v: np.hypot(u, v) <= 1,
    "square": lambda u, v: np.maximum(abs(u), abs(v)) <= 0.85,
    "triangle": lambda u, v: (v <= 0.7) & (v >= 2 * abs(u) - 1),
    "cross": lambda u, v: (np.minimum(abs(u), abs(v)) <= 0.35) & (np.maximum(abs(u), abs(v)) <= 1),
    "ring": lambda u, v: abs(np.hypot(u, v) - 0.75) <= 0.25,
    "diamond": lambda u, v: abs(u) + 0.6 * abs(v) <= 0.75,
}
"""Whether a point is inside, in coordinates that run from -1 to 1 over the shape's square."""
_COLOURS_C3 = np.array(
    [[0.36, 0.38, 0.42], [0.62, 0.52, 0.42], [0.62, 0.58, 0.36], [0.56, 0.52, 0.50],
     [0.68, 0.52, 0.36], [0.56, 0.58, 0.42], [0.68, 0.46, 0.42]]
)  # fmt: skip
"""Background first. The shapes' colours are close to each other, so that under noise the outline has to tell them."""
_COLOUR_JITTER = 0.03
_LIGHT = 0.03
"""Deviation of a whole image's brightness."""
_RADII = (0.08, 0.15)
"""Of a shape, in parts of the image's side."""
_MOST_PIXELS = 100_000_000
_STENCILS = 256
"""Sizes and turns of a class's shapes, drawn once."""

PARAMETERS = (
    Parameter("size", 48, 16, 512, "height and width of the images in pixels", kind="integer"),
    Parameter("images", 400, 20, 20_000, "images to train and validate on; as many again for testing", kind="integer"),
    Parameter("classes", 3, 1, len(_REGIONS), "classes of shapes, beside the background", kind="integer"),
    Parameter("noise", 0.15, 0.0, 1.0, "deviation of the noise on every pixel and channel, of the range of values"),
)


def shapes_source(options: Mapping[str, float | str], counts: Sequence[int] | None) -> Source:
    """The images under `options` with `counts` pixels of each class in the training pool, and again for testing.

    Without counts all classes have as many.
    """
    chosen = {parameter.name: float(options.get(parameter.name, parameter.default)) for parameter in PARAMETERS}
    size, images, kinds = (int(chosen[name]) for name in ("size", "images", "classes"))
    if images * size**2 > _MOST_PIXELS:
        raise DatasetError(
            f"{images} images of {size} x {size} have {images * size**2:,} pixels. Expected at most {_MOST_PIXELS:,}:"
            " ask for fewer or smaller images.",
            dataset="shapes",
        )
    wanted = tuple(counts or pixel_counts("step", pixels=images * size**2, classes=kinds + 1, ratio=1))
    return Source(
        name="shapes",
        files=(),
        variant=json.dumps([chosen, wanted]),
        read=lambda: _draw(wanted, size=size, images=images, noise=chosen["noise"]),
    )


@dataclass(frozen=True, slots=True, eq=False)
class _Scenes:
    """What lies where: the label and the number of the shape under each pixel (N, S, S), and the shapes' colours."""

    masks_NSS: NDArray[np.uint8]
    shapes_NSS: NDArray[np.uint32]
    colours_K3: NDArray[np.float64]


def _draw(counts: Sequence[int], *, size: int, images: int, noise: float) -> DenseRaw:
    # Training and test images have streams of their own; each part meets the counts to the pixel.
    parts = [_scenes(counts, size=size, images=images, stream=stream) for stream in (0, 1)]
    return DenseRaw(
        shape=(3, size, size),
        classes=("background", *list(_REGIONS)[: len(counts) - 1]),
        images=2 * images,
        is_test_N=first_then_test(images, images),
        mask=lambda index: parts[index // images].masks_NSS[index % images],
        image=lambda index: _image(parts[index // images], index % images, noise=noise, stream=index // images),
        source="Synthetic: noisy images of shapes on a background, made from a fixed seed to the pixel counts asked.",
    )


def _image(scenes: _Scenes, index: int, *, noise: float, stream: int) -> NDArray[np.uint8]:
    random = np.random.default_rng([_SEED, stream, index])
    clean_SS3 = scenes.colours_K3[scenes.shapes_NSS[index]] + random.normal(0, _LIGHT)
    noisy_SS3 = clean_SS3 + noise * random.standard_normal(clean_SS3.shape)
    values_SS3: NDArray[np.uint8] = (255 * noisy_SS3.clip(0, 1)).round().astype(np.uint8)
    return values_SS3.transpose(2, 0, 1)


def _scenes(counts: Sequence[int], *, size: int, images: int, stream: int) -> _Scenes:
    random = np.random.default_rng([_SEED, stream])
    masks_NSS = np.zeros((images, size, size), dtype=np.uint8)
    shapes_NSS = np.zeros((images, size, size), dtype=np.uint32)
    label_K = [0]
    for label in sorted(range(1, len(counts)), key=lambda label: counts[label]):  # what is rare lies on top
        placed = _place(masks_NSS, label=label, pixels=counts[label], random=random)
        for image, row_P, column_P in placed:
            shapes_NSS[image, row_P, column_P] = len(label_K)
            label_K.append(label)
    jitter_K3 = random.normal(0, _COLOUR_JITTER, (len(label_K), 3))
    jitter_K3[0] = 0
    return _Scenes(masks_NSS, shapes_NSS, _COLOURS_C3[label_K] + jitter_K3)


def _place(
    masks_NSS: NDArray[np.uint8], *, label: int, pixels: int, random: np.random.Generator
) -> Iterator[tuple[int, NDArray[np.int64], NDArray[np.int64]]]:
    """Draws shapes of one class over background, an image after the other, until they cover `pixels`.

    Yields the image and the pixels (P,) of each.
    """
    size = masks_NSS.shape[1]
    region = list(_REGIONS.values())[label - 1]
    stencils = [_stencil(region, size=size, random=random) for _ in range(_STENCILS)]
    for image in itertools.cycle(random.permutation(len(masks_NSS)).tolist()):
        free = np.flatnonzero(masks_NSS[image] == 0)
        if not len(free):
            continue
        centre = divmod(int(free[random.integers(len(free))]), size)
        row_P, column_P = (stencils[random.integers(_STENCILS)] + np.array(centre)).T
        within_P = (row_P >= 0) & (row_P < size) & (column_P >= 0) & (column_P < size)
        row_P, column_P = row_P[within_P], column_P[within_P]
        free_P = np.flatnonzero(masks_NSS[image, row_P, column_P] == 0)[:pixels]  # the last one is cut to what is left
        row_P, column_P = row_P[free_P], column_P[free_P]
        masks_NSS[image, row_P, column_P] = label
        yield image, row_P, column_P
        pixels -= len(free_P)
        if not pixels:
            return


def _stencil(region: Region, *, size: int, random: np.random.Generator) -> NDArray[np.int64]:
    """The offsets (P, 2) of the pixels under a shape of random size and turn, its middle first, then outwards."""
    radius, angle = size * random.uniform(*_RADII), random.uniform(0, 2 * np.pi)
    reach = int(np.ceil(radius * np.sqrt(2)))
    offset_P2 = np.indices((2 * reach + 1, 2 * reach + 1)).reshape(2, -1).T - reach
    y_P, x_P = offset_P2.T / radius
    u_P, v_P = np.cos(angle) * x_P - np.sin(angle) * y_P, np.sin(angle) * x_P + np.cos(angle) * y_P
    inside_P = region(u_P, v_P) | (offset_P2 == 0).all(axis=1)
    outwards = np.argsort(np.hypot(u_P, v_P)[inside_P], kind="stable")
    ordered_P2: NDArray[np.int64] = offset_P2[inside_P][outwards]
    return ordered_P2
