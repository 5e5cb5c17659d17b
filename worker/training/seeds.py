"""Independent streams of random numbers drawn from one seed."""

from enum import IntEnum

import numpy as np
import torch


class Stream(IntEnum):
    """What a stream is for; the numbers are part of what a seed means, so they never change."""

    INITIALISATION = 0
    ORDER = 1
    AUGMENTATION = 2
    DROPOUT = 3


def stream_seed(seed: int, stream: Stream, *part: int) -> int:
    """The 64-bit seed of one stream, or part of one, of a member's `seed`; all of these are independent."""
    return int(np.random.SeedSequence(seed, spawn_key=(stream, *part)).generate_state(1, np.uint64)[0])


def stream_generator(seed: int, stream: Stream) -> torch.Generator:
    """A generator of its own for one stream, on the CPU, so that every device sees the same numbers."""
    return torch.Generator().manual_seed(stream_seed(seed, stream))
