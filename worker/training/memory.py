"""Where memory runs out."""

import errno
from collections.abc import Iterator
from contextlib import contextmanager

import torch

_SAID = (
    "allocate memory",
    "out of memory",
    "ALLOC_FAILED",
    "ALLOCATION_FAILED",
    "CUBLAS_STATUS_NOT_INITIALIZED",
    "bad_alloc",
)
"""What torch says for which it has no class: its allocator on a CPU, the CUDA driver, cuDNN, and cuBLAS, which says as
well that it is not initialised where there is no memory for its workspace."""


def is_out_of_memory(error: BaseException) -> bool:
    """Whether Python, torch, a library below it or the system found too little."""
    if isinstance(error, OSError):
        return error.errno == errno.ENOMEM
    told = isinstance(error, RuntimeError) and any(words in str(error) for words in _SAID)
    return told or isinstance(error, MemoryError | torch.OutOfMemoryError)


def free_on_gpu(gpu: torch.device) -> int:
    """Bytes that can be taken; the driver counts as taken what torch keeps of tensors that are gone for the next."""
    return torch.cuda.mem_get_info(gpu)[0] + torch.cuda.memory_reserved(gpu) - torch.cuda.memory_allocated(gpu)


@contextmanager
def while_memory_lasts() -> Iterator[None]:
    """Leaves the block where memory runs out; what had been made in it is gone by then."""
    try:
        yield
    except (RuntimeError, MemoryError, OSError) as error:
        if not is_out_of_memory(error):
            raise
