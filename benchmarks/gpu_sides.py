"""What `benchmarks.gpu` times: stacks in training on made-up data, here or in processes of their own."""

import multiprocessing
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection

import numpy as np
import torch

from worker.training.data import DeviceData
from worker.training.trainer import Training
from worker.training.trial import Member, Precision, TrialSpec

from .measure import interleaved

CLASSES = 10
SHAPES: Mapping[str, tuple[int, ...]] = {"mlp": (784,), "small_cnn": (1, 28, 28), "resnet32": (3, 32, 32)}
_SAME_LOSS = 0.1
"""Share by which a member's loss of the first epoch may differ between sides: bfloat16 has three digits."""
_PATIENCE_S = 100
"""For processes to start, or to be timed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """How much is measured."""

    device: torch.device
    widths: Sequence[int]
    batch: int
    steps: int
    """Of an epoch: what is timed is whole epochs of the trainer, validation of one batch included."""
    cell_s: float
    """About what the rounds of a cell of a table take; where one epoch takes longer, that is the only round."""
    window_s: float
    """In which processes that train apart are timed, once a round."""
    processes: int
    matmul: int
    deadline: float

    @property
    def precision(self) -> Precision:
        """What a worker trains in by default."""
        return "bfloat16" if self.device.type == "cuda" else "float32"

    @property
    def is_late(self) -> bool:
        """Whether it is too late for a further cell."""
        return time.monotonic() > self.deadline


def made_up(model: str, *, rows: int, device: torch.device) -> DeviceData:
    """Random data of a model's shape."""
    rng, shape = np.random.default_rng(0), SHAPES[model]
    labels = rng.integers(CLASSES, size=rows)
    images = rng.integers(256, size=(rows, *shape), dtype=np.uint8)
    inputs = images if len(shape) == 3 else (images / 128 - 1).astype(np.float32)
    return DeviceData(
        train_inputs=inputs, train_labels=labels, test_inputs=inputs[:1], test_labels=labels[:1],
        classes=CLASSES, device=device,
    )  # fmt: skip


def members(model: str, width: int, *, batch: int, steps: int, precision: Precision) -> list[Member]:
    """As many trials of one replicate, which differ in alpha and take this many steps an epoch."""
    rows = np.arange(steps * batch)
    return [
        Member(
            TrialSpec(
                loss="adaptive", loss_params={"alpha": float(alpha)}, model=model, model_params={}, epochs=10**6,
                batch_size=batch, optimizer="adamw", lr=1e-3, weight_decay=1e-2, precision=precision,
            ),
            seed=0,
            train_index=rows,
            validation_index=rows[:batch],
        )
        for alpha in np.geomspace(0.001, 0.5, width)
    ]  # fmt: skip


class Side:
    """A stack in training; a call trains an epoch and answers the seconds that a step of it took."""

    def __init__(
        self, model: str, width: int, data: DeviceData, plan: Plan, *, precision: Precision, graphs: bool = False
    ) -> None:
        """Builds it and trains two epochs, the second of which says about how long one takes."""
        self.width, self._plan = width, plan
        stack = members(model, width, batch=plan.batch, steps=plan.steps, precision=precision)
        self._training = Training(stack, data, graphs=graphs)
        self.first_loss = float("nan")
        self()
        self.epoch_s = self() * plan.steps

    def __call__(self) -> float:
        """One epoch. Raises OutOfMemoryError where the trainer had to halve the stack."""
        began = time.perf_counter()
        records = self._training.run_epoch()
        took = time.perf_counter() - began  # the records have come off the device, so it is done
        if self._training.width < self.width:
            raise torch.OutOfMemoryError(f"out of memory, the trainer went on at width {self._training.width}")
        samples = self._plan.steps * self._plan.batch
        if [record.samples for record in records] != [samples] * self.width:
            sys.exit(f"Not the same work: of {self.width} members {len(records)} took an epoch of {samples} samples.")
        if records[0].epoch == 1:
            self.first_loss = records[0].train_loss
        return took / self._plan.steps


def rates(sides: Mapping[str, "Side | Apart"], plan: Plan) -> dict[str, list[float]]:
    """Members times steps a second of every side, round by round, in turns; exits where they did different work."""
    losses = {name: side.first_loss for name, side in sides.items()}
    if not max(losses.values()) <= (1 + _SAME_LOSS) * min(losses.values()):
        sys.exit(f"Not the same work: the first member's loss of its first epoch was {losses}.")
    rounds = max(min(int(plan.cell_s / sum(side.epoch_s for side in sides.values())), 15), 1)
    seconds = interleaved(sides, rounds=rounds)
    return {name: [side.width / one for one in seconds[name]] for name, side in sides.items()}


class Apart:
    """Processes of one member each that train at the same time; called as a `Side` is, they do for a window.

    `is_there` until one of them fails or takes too long, which raises Gone and ends them all.
    """

    first_loss: float

    def __init__(self, plan: Plan) -> None:
        """Starts them; they import torch meanwhile."""
        self.width, self.epoch_s, self.is_there = plan.processes, plan.window_s, True
        context = multiprocessing.get_context("spawn")
        self._pipes, self._processes = [], []
        for _ in range(plan.processes):
            ours, theirs = context.Pipe()
            self._processes.append(context.Process(target=_train_apart, args=(plan, theirs), daemon=True))
            self._processes[-1].start()
            theirs.close()
            self._pipes.append(ours)

    def turn_to(self, model: str) -> None:
        """Has every process begin a member of this model."""
        self.first_loss, *_ = self._asked(model)

    def __call__(self) -> float:
        """Seconds that a step of each would take, were all as quick as in this window."""
        return self.width / sum(self._asked(None))

    def leave(self) -> None:
        """Ends them."""
        self.is_there = False
        for process in self._processes:
            process.kill()
            process.join()

    def _asked(self, model: str | None) -> list[float]:
        try:
            for pipe in self._pipes:
                pipe.send(model)
            if all(pipe.poll(_PATIENCE_S) for pipe in self._pipes):
                return [pipe.recv() for pipe in self._pipes]
        except (EOFError, OSError):
            pass
        self.leave()
        raise Gone("processes of one member each failed, or took too long")


class Gone(Exception):
    """Raised where processes that train apart are no longer there."""


def _train_apart(plan: Plan, asked: "Connection[float, str | None]") -> None:
    torch.set_num_threads(1)
    side: Side | None = None
    while True:
        if model := asked.recv():
            data = made_up(model, rows=plan.steps * plan.batch, device=plan.device)
            side = Side(model, 1, data, plan, precision=plan.precision)
            asked.send(side.first_loss)
            continue
        assert side, "a model comes first"
        began, epochs = time.perf_counter(), 0
        while (elapsed := time.perf_counter() - began) < plan.window_s:
            side()
            epochs += 1
        asked.send(epochs * plan.steps / elapsed)
