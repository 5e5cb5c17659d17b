"""The data sets that need no files: `toy2d`, made from a seed, and scikit-learn's `digits`."""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from sklearn.datasets import load_digits

from .raw import Encoded, Raw, first_then_test

_ARMS = 3
_SEED = 3
_POOL, _TEST = 2000, 1000
_NOISE = 0.22
"""Deviation of a point from its arm: arms overlap, so that a rare class loses ground to a common one."""


def toy2d() -> Raw:
    """Three spiral arms in the plane, 2000 samples a class to draw from and 1000 for testing."""
    random = np.random.default_rng(_SEED)
    arm_N = np.concatenate([np.repeat(np.arange(_ARMS), samples) for samples in (_POOL, _TEST)])
    along_N = np.sqrt(random.uniform(0.05, 1.0, len(arm_N)))
    angle_N = 2 * np.pi * arm_N / _ARMS + 3.5 * along_N
    points_N2 = 2 * along_N[:, None] * np.stack([np.cos(angle_N), np.sin(angle_N)], axis=1)
    points_N2 += random.normal(0, _NOISE, points_N2.shape)
    return Raw(
        kind="vector",
        labels_N=arm_N,
        encode=_as_they_are(points_N2, columns=("x", "y")),
        is_test_N=first_then_test(_ARMS * _POOL, _ARMS * _TEST),
        classes=("first arm", "second arm", "third arm"),
        source="Synthetic: three overlapping spiral arms in the plane, made from a fixed seed.",
    )


def digits() -> Raw:
    """1797 handwritten digits of 64 grey values in [0, 1]; a fixed quarter of each class is for testing."""
    pixels_NF, digit_N = load_digits(return_X_y=True)
    return Raw(
        kind="vector",
        labels_N=digit_N,
        encode=_as_they_are(pixels_NF / 16),
        test_fraction=0.25,
        source="Handwritten digits of 8 x 8 pixels (Alpaydin and Kaynak, UCI, 1998), from scikit-learn.",
    )


def _as_they_are(
    inputs_NF: NDArray[np.float64], columns: tuple[str, ...] = ()
) -> Callable[[NDArray[np.bool_]], Encoded]:
    encoded = Encoded(inputs=inputs_NF.astype(np.float32), columns=columns)
    return lambda is_test_N: encoded
