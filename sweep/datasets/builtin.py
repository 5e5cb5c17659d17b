"""The table of built-in data sets: one row each."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from ..parameter import Parameter
from .cifar import CIFAR10, CIFAR100, cifar_source
from .idx import FASHION_MNIST, MNIST, idx_source
from .raw import Source
from .shapes import PARAMETERS, shapes_source
from .synthetic import digits, toy2d

BUILT_IN: Mapping[str, Callable[[Path], Source]] = {
    "toy2d": lambda folder: Source(name="toy2d", files=(), read=toy2d),
    "digits": lambda folder: Source(name="digits", files=(), read=digits),
    "fashion_mnist": lambda folder: idx_source(FASHION_MNIST, folder),
    "mnist": lambda folder: idx_source(MNIST, folder),
    "cifar10": lambda folder: cifar_source(CIFAR10, folder),
    "cifar100": lambda folder: cifar_source(CIFAR100, folder),
}
"""Each takes the folder of data sets; where files lack, it raises DatasetError, saying where to put them."""

MADE: Mapping[str, Callable[[Mapping[str, float | str], Sequence[int] | None], Source]] = {"shapes": shapes_source}
"""Those made to order: each takes its options, and the training pool's class counts."""

OPTIONS: Mapping[str, tuple[Parameter, ...]] = {"shapes": PARAMETERS}
"""What they take beside their names."""

RESERVED = frozenset(
    place.split("/")[0] for row in (FASHION_MNIST, MNIST, CIFAR10, CIFAR100) for place in row.places
) | frozenset(row.pickled for row in (CIFAR10, CIFAR100))
"""Folders beside the user's own that belong to a built-in set under another name."""
