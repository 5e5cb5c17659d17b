"""What it looks like where memory runs out."""

import torch


def is_out_of_memory(error: Exception) -> bool:
    """Whether Python, torch or a library below it found too little; on a CPU torch has no class of its own for it."""
    said = str(error)
    told = isinstance(error, RuntimeError) and ("can't allocate memory" in said or "ALLOC_FAILED" in said)
    return told or isinstance(error, MemoryError | torch.OutOfMemoryError)
