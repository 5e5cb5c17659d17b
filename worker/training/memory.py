"""Where memory runs out."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch


def is_out_of_memory(error: BaseException) -> bool:
    """Whether Python, torch or a library below it found too little; on a CPU torch has no class of its own for it."""
    said = str(error)
    told = isinstance(error, RuntimeError) and ("can't allocate memory" in said or "ALLOC_FAILED" in said)
    return told or isinstance(error, MemoryError | torch.OutOfMemoryError)


@contextmanager
def while_memory_lasts() -> Iterator[None]:
    """Leaves the block where memory runs out; what had been made in it is gone by then."""
    try:
        yield
    except (RuntimeError, MemoryError) as error:
        if not is_out_of_memory(error):
            raise
