"""How wide a stack pays where the worker runs: measured once a kind of work, and kept on disk."""

import hashlib
import logging
import os
import platform
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import cache
from itertools import cycle, islice
from pathlib import Path
from typing import Annotated

import numpy as np
import torch
from pydantic import BaseModel, ConfigDict, Field, PositiveInt, field_validator

from . import measurement
from .memory import free_bytes
from .training.cohort import Cohort, Heed
from .training.data import DeviceData
from .training.memory import free_on_gpu, while_memory_lasts
from .training.probe import can_stack
from .training.trial import Member

MAX_WIDTH = 256
_STEPS = 2
"""Of one measurement; the quickest of several counts."""
_PER_WIDTH_S, _IN_ALL_S = 0.1, 4.0
_GAIN = 0.97
"""A wider stack is worth its memory where a member takes less than this share of the time in the best narrower one."""
_UNDISTURBED = 0.9
"""Of a core that the measuring thread had."""
_SHARE_OF_MEMORY = {"cpu": 0.2, "cuda": 0.7}
"""Of what is free when the width is measured; a host is shared by its workers."""
_log = logging.getLogger(__name__)


class Pace(BaseModel):
    """What was measured of one kind of work on one device."""

    model_config = ConfigDict(frozen=True)

    seconds: Mapping[Annotated[int, Field(ge=1, le=MAX_WIDTH)], Annotated[float, Field(gt=0, allow_inf_nan=False)]]
    """What one step takes, by the members that take it together; by one at least."""
    member_bytes: PositiveInt
    """What a member needs while it learns: weights, moments, gradients, and what its backward pass keeps."""

    @field_validator("seconds")
    @classmethod
    def _begins_with_one(cls, seconds: Mapping[int, float]) -> Mapping[int, float]:
        if 1 not in seconds:
            raise ValueError("expected the seconds of a member alone")
        return seconds

    @property
    def width(self) -> int:
        """The members at which one takes the least time, or the fewest beside which more bring next to nothing."""
        best = 1
        for width in sorted(self.seconds):
            if self.seconds[width] / width < _GAIN * self.seconds[best] / best:
                best = width
        return best

    def pays(self, held: int, more: int) -> bool:
        """Whether `more` members learn sooner beside `held` others than in a stack of their own afterwards."""
        return self._step(held + more) < self._step(held) + self._step(more)

    def _step(self, width: int) -> float:
        widths = sorted(self.seconds)
        if width > widths[-1]:
            return self.seconds[widths[-1]] * width / widths[-1]
        return float(np.interp(width, widths, [self.seconds[known] for known in widths]))


class Paces:
    """Measured paces by kind of work: model, shapes, batch, replicates, optimizer, precision, device and threads."""

    def __init__(self, folder: Path, *, graphs: bool = False) -> None:
        """Keeps them as files in `folder`, which is made with the first; `graphs` as the work will be done with."""
        self._folder, self._graphs = folder, graphs
        self._known: dict[str, Pace] = {}

    def of(self, members: Sequence[Member], data: DeviceData, *, heed: Heed = lambda: None) -> Pace:
        """The pace of the work of one trial's members, measured now unless its kind was before; `heed` as in `Cohort`.

        It depends on what else the machine does: measured while that left this thread too little of a core, it is
        this process's alone. Whoever doubts it deletes the file.
        """
        kind = _kind(members, data, graphs=self._graphs)
        path = self._folder / f"{hashlib.sha256(kind.encode()).hexdigest()[:16]}.json"
        if kind not in self._known:
            self._known[kind] = measurement.read(path, Pace, what="width") or self._measured(
                members, data, kind=kind, path=path, heed=heed
            )
        return self._known[kind]

    def _measured(
        self, members: Sequence[Member], data: DeviceData, *, kind: str, path: Path, heed: Heed
    ) -> Pace:  # fmt: skip
        began, began_cpu = time.perf_counter(), time.thread_time()
        pace = measure(members, data, graphs=self._graphs, heed=heed)
        took = time.perf_counter() - began
        share = (time.thread_time() - began_cpu) / took if data.device.type == "cpu" else 1.0
        facts = {"width": pace.width, "seconds": round(took, 2), "share": round(share, 2), "of": kind}
        _log.info("width measured", extra={"action": "width_measured"} | facts)
        if share < _UNDISTURBED:
            _log.warning("width not kept", extra={"action": "width_not_kept", "reason": "the machine is busy"})
            return pace
        measurement.write(path, pace.model_dump_json(indent=2), what="width")
        return pace


def measure(
    members: Sequence[Member], data: DeviceData, *, graphs: bool = False,
    clock: Callable[[], float] = time.perf_counter, heed: Heed = lambda: None,
) -> Pace:  # fmt: skip
    """Times steps of stacks of 1, 2, 4, … members while they get quicker, fit and are quickly timed.

    Stacks are of trials such as the `members` are one of: they have these seeds and rows in turn, and with them as many
    inputs of their own. With `graphs` a GPU's steps are recorded within the first few, and the quickest is a replay.
    """
    trial = members[0].trial
    endless = replace(trial, epochs=sys.maxsize, warmup_epochs=0, schedule="constant")
    some = _STEPS * trial.batch_size
    short = [
        replace(one, trial=endless, train_index=one.train_index[:some], validation_index=one.validation_index[:1])
        for one in members
    ]

    def stack(width: int) -> Cohort:
        return Cohort(list(islice(cycle(short), width)), data, graphs=graphs, heed=heed)

    alone = stack(1)
    member_bytes = _bytes_of_member(alone)
    widest = fitting(member_bytes, data.device) if can_stack(trial, data) else 1
    began, width, seconds = clock(), 1, {1: _seconds(alone, clock=clock)}
    while 2 * width <= widest and clock() - began < _IN_ALL_S:
        width *= 2
        with while_memory_lasts():
            seconds[width] = _seconds(stack(width), clock=clock)
        if width not in seconds:
            break
        if width >= 4 and seconds[width] / width > seconds[width // 4] / (width // 4):
            break  # twice wider and twice wider again, and slower than before
    return Pace(seconds=seconds, member_bytes=member_bytes)


def fitting(member_bytes: int, device: torch.device) -> int:
    """How many members of that size fit into a worker's share of the memory that is free now; one at least."""
    free = free_on_gpu(device) if device.type == "cuda" else free_bytes()
    return min(MAX_WIDTH, max(int(_SHARE_OF_MEMORY[device.type] * free / member_bytes), 1))


def bytes_of_records(member: Member, data: DeviceData) -> int:
    """What is seen of a member, as an epoch's end holds it: counts by pairs of classes, the course by step and class.

    Both grow with what a measurement of a few steps does not have. Counts are there in int64, in float64, and once more
    for the transfer. Of each step there are importance and samples by class: as kept, together, in float64, multiplied;
    and on the host the importance of all steps until the trial's end.
    """
    steps = -(-len(member.train_index) // member.trial.batch_size)
    until_the_end = 4 * data.classes * steps * member.trial.epochs if data.device.type == "cpu" else 0
    return 24 * data.classes**2 + 56 * data.classes * steps + until_the_end


def _seconds(cohort: Cohort, *, clock: Callable[[], float]) -> float:
    times: list[float] = []
    began = clock()
    while len(times) < 3 or clock() - began < _PER_WIDTH_S:
        at = clock()
        trace = cohort.train_epoch()
        trace.loss_SK.sum().item()  # a device is done when it answers
        times.append((clock() - at) / len(trace.sizes))
    return min(times)


def _bytes_of_member(alone: Cohort) -> int:
    kept = 0

    def note(tensor: torch.Tensor) -> torch.Tensor:
        nonlocal kept
        kept += tensor.nbytes
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(note, lambda tensor: tensor):
        steps = len(alone.train_epoch().sizes)
    own = sum(tensor.nbytes for tensor in alone.state().tensors.values())
    # The weights and their moments once more in the copy of an epoch's start, and the gradient twice.
    return kept // steps + 3 * own


def _kind(members: Sequence[Member], data: DeviceData, *, graphs: bool) -> str:
    """What is alike where a pace is; not the loss: trials of several losses of a scenario lie in one stack."""
    trial = members[0].trial
    device = torch.cuda.get_device_name(data.device) if data.device.type == "cuda" else processor()
    parts = {
        "model": trial.model,
        **trial.model_params,
        "inputs": data.input_shape,
        "classes": data.classes,
        "batch": min(trial.batch_size, len(members[0].train_index)),
        "replicates": len(members),
        "optimizer": trial.optimizer,
        "augment": trial.augment,
        "precision": trial.precision,
        "device": device,
        "graphs": graphs and data.device.type == "cuda",
        "threads": torch.get_num_threads(),
        "torch": torch.__version__,
    }
    return ", ".join(f"{name} {value}" for name, value in parts.items())


@cache
def processor() -> str:
    """The machine's cores in a few words."""
    cpuinfo = Path("/proc/cpuinfo")
    lines = cpuinfo.read_text().splitlines() if cpuinfo.exists() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return f"{os.cpu_count()} x {names[0] if names else platform.processor() or platform.machine()}"
