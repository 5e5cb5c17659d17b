"""Where the time of training goes on a CPU, on one thread, for every work alone and at the width that pays here.

python -m benchmarks.profile [--data evenhand-data] [--quick]

An epoch is timed as it is, and then once more under torch's profiler, whose shares are applied to that time. What the
matrix products and convolutions need is held against a large matrix product, what AdamW moves against a large copy,
both measured in the same run. Under two minutes, once the data lie in the folder.
"""

import argparse
import contextlib
import functools
import sys
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import median
from typing import Any
from unittest.mock import patch

import torch
from torch.autograd.profiler_util import FunctionEvent
from torch.profiler import ProfilerActivity, profile, record_function

from worker.pace import Paces
from worker.training import trainer
from worker.training.batches import Batches
from worker.training.cohort import Cohort
from worker.training.criterion import Criterion
from worker.training.data import DeviceData
from worker.training.optimization import AdamW, Flat
from worker.training.trace import Tracer
from worker.training.trainer import Training
from worker.training.trial import Member

from .hardware import ADAMW_BYTES, Traffic, copy_rate, flops_of, matmul_rate, parameters_of
from .measure import keep
from .works import WORKS, prepared_works

_ALPHA = 0.05
EPOCHS_S = 3.0
"""About how long epochs of one work and width are timed."""
PHASES: Sequence[tuple[object, str, str]] = (
    (Batches, "draw_order", "batches"),
    (Batches, "of", "batches"),
    (Batches, "to_members", "batches"),
    (Cohort, "_forward", "forward"),
    (Criterion, "__call__", "loss"),
    (Flat, "gradient", "backward"),
    (AdamW, "rates", "schedule"),
    (AdamW, "step", "optimizer"),
    (Tracer, "note", "course of the importance"),
    (Tracer, "trace", "course of the importance"),
    (Cohort, "validate", "validation"),
    (Cohort, "state", "copy, lest memory run out"),
    (trainer, "epoch_records", "records"),
)
"""What is called in an epoch, and how the table names it; the outermost counts."""
_KINDS = {
    "convolution": ("convol", "conv2d"),
    "pooling": ("pool",),
    "normalisation": ("batchnorm", "batch_norm"),
    "relu": ("relu", "threshold"),
    "matrix product": ("mm", "linear"),
    "enlarging, joining": ("upsample", "::cat", "catbackward"),
}
"""Kinds of operators by what their names contain; what is left over moves or adds."""
_BY_KIND = ("forward", "backward")
_REST = "the rest of the epoch"


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """What was seen of one work at one width."""

    work: str
    width: int
    step_ms: float
    """An epoch without the profiler, validation and records included, by its steps."""
    shares: Counter[str]
    """Of the profiled time, by group; they add up to 1."""
    slowdown: float
    """How many times longer the epoch took under the profiler."""
    mflop: float
    """Matrix products and convolutions of an epoch, by its steps."""
    adamw_least: float
    adamw_moved: float
    """Bytes of a step: the least that AdamW must move, and what its operators read and write."""

    @property
    def title(self) -> str:
        """As tables name it."""
        return f"{self.work}, width {self.width}"


def labelled(function: Callable[..., object], phase: str) -> Callable[..., object]:
    """The function, its time noted under the phase's name."""

    @functools.wraps(function)
    def inner(*args: object, **kwargs: object) -> object:
        with record_function(phase):
            return function(*args, **kwargs)

    return inner


def shares(events: Sequence[FunctionEvent]) -> Counter[str]:
    """Each group's share of the events' own time."""
    own: Counter[str] = Counter()
    for event in events:
        own[_group(event)] += event.self_cpu_time_total
    whole = sum(own.values())
    return Counter({group: one / whole for group, one in own.items()})


def _group(event: FunctionEvent) -> str:
    """The outermost phase that an event lies in; forward and backward by the outermost kind of operator within."""
    phases = {phase for *_, phase in PHASES}
    names, at = [event.name], event
    while at.cpu_parent is not None:
        at = at.cpu_parent
        names.append(at.name)
    found = [depth for depth, name in enumerate(names) if name in phases]
    if not found:
        return _REST
    phase = names[found[-1]]
    if phase not in _BY_KIND:
        return phase
    if found[-1] == 0:
        return f"{phase}: Python and dispatch"
    for name in reversed(names[: found[-1]]):
        for kind, parts in _KINDS.items():
            if any(part in name.lower() for part in parts):
                return f"{phase}: {kind}"
    return f"{phase}: copies, sums"


def look(work: str, member: Member, data: DeviceData, *, width: int, seconds: float) -> Found:
    """Times and profiles epochs of a stack of copies of the member."""
    training = Training([replace(member, trial=replace(member.trial, epochs=10**6))] * width, data)
    _epoch_s(training)
    times = [_epoch_s(training)]
    times += [_epoch_s(training) for _ in range(int(seconds / times[0]))]
    with contextlib.ExitStack() as stack:
        for home, name, phase in PHASES:
            stack.enter_context(patch.object(home, name, labelled(getattr(home, name), phase)))
        profiler = stack.enter_context(profile(activities=[ProfilerActivity.CPU]))
        stack.enter_context(record_function(_REST))
        profiled_s = _epoch_s(training)
    traffic, step = Traffic(), AdamW.step

    def counted(*args: Any) -> None:
        with traffic:
            step(*args)

    with patch.object(AdamW, "step", counted):
        steps = training.run_epoch()[0].steps
    return Found(
        work=work,
        width=width,
        step_ms=1000 * median(times) / steps,
        shares=shares(profiler.events()),
        slowdown=profiled_s / median(times),
        mflop=width * flops_of(Training([member], data).run_epoch) / steps / 1e6,
        adamw_least=width * parameters_of(member, data) * ADAMW_BYTES,
        adamw_moved=traffic.bytes / steps,
    )


def _epoch_s(training: Training) -> float:
    began = time.perf_counter()
    training.run_epoch()
    return time.perf_counter() - began


def share_rows(looks: Sequence[Found]) -> list[dict[str, object]]:
    """A row for each group, in the order of the phases and then by size, with each look's shares in per cent."""
    whole = sum((found.shares for found in looks), Counter[str]())
    order = [*dict.fromkeys(phase for *_, phase in PHASES), _REST]
    groups = sorted(whole, key=lambda group: (order.index(group.split(":")[0]), -whole[group]))
    return [
        {"% of an epoch": group, **{one.title: 100 * one.shares[group] if group in one.shares else "" for one in looks}}
        for group in groups
    ]


def bound_row(found: Found, *, matmul: float, copy: float) -> dict[str, object]:
    """What a step reaches of the machine's arithmetic, and its optimizer of the machine's memory."""
    optimizer_s = found.step_ms / 1000 * found.shares["optimizer"]
    gflop_s = found.mflop / found.step_ms
    return {
        "work": found.title,
        "ms a step": found.step_ms,
        "ms a step and member": found.step_ms / found.width,
        "MFLOP a step": found.mflop,
        "GFLOP/s": gflop_s,
        "% of a large product's": 100 * gflop_s * 1e9 / matmul,
        "AdamW ms": 1000 * optimizer_s,
        "AdamW least MB": found.adamw_least / 1e6,
        "AdamW moved MB": found.adamw_moved / 1e6,
        "AdamW GB/s": found.adamw_moved / optimizer_s / 1e9,
        "% of a large copy's": 100 * found.adamw_moved / optimizer_s / copy,
        "profiler, times longer": found.slowdown,
    }


def main() -> None:
    """Prints both tables, and keeps them."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=Path("evenhand-data"), help="the folder that holds datasets/")
    parser.add_argument("--quick", action="store_true", help="two steps an epoch: its numbers mean nothing")
    args = parser.parse_args()
    torch.set_num_threads(1)
    cpu = torch.device("cpu")
    paces, looks = Paces(args.data / "paces"), []
    works, left_out = prepared_works(WORKS.values(), args.data)
    for prepared in works:
        name, member = prepared.work.name, prepared.members(_ALPHA)[0]
        if args.quick:
            rows = member.train_index[: 2 * member.trial.batch_size]
            member = replace(member, train_index=rows, validation_index=member.validation_index[:8])
        pays = 2 if args.quick else paces.of([member], prepared.data).width
        for width in sorted({1, pays}):
            print(f"{name}, width {width} ...", file=sys.stderr)
            looks.append(look(name, member, prepared.data, width=width, seconds=0.0 if args.quick else EPOCHS_S))
    matmul = matmul_rate(cpu, size=512 if args.quick else 2048, dtype=torch.float32)
    copy = copy_rate(cpu, mib=16 if args.quick else 256)
    notes = [
        "Own time under torch's profiler on one thread, which makes short operators look longer than they are; of each"
        " work its epoch alone, and at the width that was measured to pay here where that is more than one.",
        *left_out,
    ]
    print(keep("profile", share_rows(looks), notes=notes, quick=args.quick), end="\n\n")
    notes = [
        "A step is an epoch by its steps, validation and records included; AdamW has its share of it.",
        f"Measured in the same run: {matmul / 1e9:.3g} GFLOP/s in a large product of float32, {copy / 1e9:.3g} GB/s in"
        " a copy too large for caches (read and written). What is small stays in caches, which are quicker.",
        f"FLOP of products and convolutions. AdamW must move {ADAMW_BYTES} bytes a parameter; moved is what its"
        " operators read and write one after the other.",
    ]
    rows = [bound_row(found, matmul=matmul, copy=copy) for found in looks]
    print(keep("profile_bounds", rows, notes=notes, quick=args.quick))


if __name__ == "__main__":
    main()
