"""What a step needs and what the hardware can do: floating point operations and bytes, counted and measured."""

import time
from collections.abc import Callable

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import FlopCounterMode

from worker.training.cohort import Cohort
from worker.training.data import DeviceData
from worker.training.trial import Member

ADAMW_BYTES = 7 * 4
"""What a step of AdamW must move a parameter: it reads and writes weight and two moments, and reads the gradient."""


class Traffic(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Counts the bytes that operators read and write: every tensor once an operator, results included."""

    def __init__(self) -> None:
        """Starts at 0."""
        super().__init__()  # type: ignore[no-untyped-call]
        self.bytes = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):  # type: ignore[no-untyped-def]
        """Runs the operator and adds what it moves; views move nothing."""
        result = func(*args, **(kwargs or {}))
        if not func.is_view:
            moved = tree_leaves((args, result))
            self.bytes += sum(tensor.nbytes for tensor in moved if isinstance(tensor, torch.Tensor))
        return result


def flops_of(work: Callable[[], object]) -> int:
    """Of the matrix products and convolutions of what one member does.

    A stack of K needs K times as many; counted in a stack, the gradients of grouped convolutions would count K squared.
    """
    with FlopCounterMode(display=False) as counter:
        work()
    return int(counter.get_total_flops())


def parameters_of(member: Member, data: DeviceData) -> int:
    """How many numbers a member learns."""
    return sum(parameter.numel() for parameter in Cohort([member], data).model.parameters())


def matmul_rate(device: torch.device, *, size: int, dtype: torch.dtype) -> float:
    """Floating point operations a second of a large matrix product, the best of several: what is there to be had."""
    one, other, out = (torch.randn(size, size, device=device).to(dtype) for _ in range(3))
    return 2 * size**3 / best_s(lambda: torch.mm(one, other, out=out), device)


def copy_rate(device: torch.device, *, mib: int = 256) -> float:
    """Bytes a second, read and written ones, of a copy too large for caches, the best of several."""
    source = torch.ones(mib * 2**18, device=device)
    target = torch.empty_like(source)
    return 2 * source.nbytes / best_s(lambda: target.copy_(source), device)


def best_s(work: Callable[[], object], device: torch.device, *, seconds: float = 1.0) -> float:
    """Seconds that the work takes at its quickest; several calls are timed as one, so that launching hides."""
    work()
    times: list[float] = []
    calls = 10 if device.type == "cuda" else 1
    began = time.perf_counter()
    while len(times) < 3 or time.perf_counter() - began < seconds:
        _wait(device)
        at = time.perf_counter()
        for _ in range(calls):
            work()
        _wait(device)
        times.append((time.perf_counter() - at) / calls)
    return min(times)


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
