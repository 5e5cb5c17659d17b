"""What numbers are multiplied in: float32, TF32 or bfloat16 on a GPU, and how that is switched."""

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext

import torch

from .trial import Precision


@contextmanager
def computing(precision: Precision, device: torch.device) -> Iterator[None]:
    """Computes in a precision within the block, and leaves torch's settings as they were.

    float32 is whole float32 (torch by itself lets convolutions use TF32), tf32 multiplies float32 with 10 bits of
    mantissa (a GPU's tensor cores; a CPU has none), bfloat16 is torch's autocast: weights stay float32.
    """
    switches = torch.backends.cuda.matmul, torch.backends.cudnn.conv  # type: ignore[attr-defined]
    before = [switch.fp32_precision for switch in switches]
    # A graph may not hold on to the copies of weights that autocast keeps.
    cast = torch.autocast(device.type, dtype=torch.bfloat16, cache_enabled=False)
    try:
        for switch in switches:
            switch.fp32_precision = "tf32" if precision == "tf32" else "ieee"
        with cast if precision == "bfloat16" else nullcontext():
            yield
    finally:
        for switch, was in zip(switches, before, strict=True):
            switch.fp32_precision = was
