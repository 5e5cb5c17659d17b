"""Times the phases of a training step in whatever version of the trainer is imported; see `before.py`, which calls it.

The lines it prints are JSON: a work, the members in its stack, and milliseconds a step by phase.
"""

import argparse
import inspect
import json
import time
from collections import Counter
from collections.abc import Callable, Sequence
from functools import wraps
from typing import Any

import numpy as np
import torch

from worker.training.cohort import Cohort
from worker.training.criterion import Criterion
from worker.training.data import DeviceData
from worker.training.optimization import AdamW, Flat
from worker.training.trainer import Training
from worker.training.trial import Member, TrialSpec

TIMED_S = 2.0
PHASES: Sequence[tuple[type, str, str]] = (
    (Cohort, "_forward", "forward"),
    (Criterion, "__call__", "loss"),
    (Flat, "gradient", "backward"),
    (AdamW, "step", "optimizer"),
    (Cohort, "validate", "validation"),
)
"""What both versions call, none from within another but the forward pass of a validation."""
REST = "batches, trajectories, records"
CLASSES = 10
ROWS, VALIDATION = 1024, 256
WORKS = {
    "mlp, 64 features": ("mlp", (64,), 64, (1, 12, 64)),
    "small_cnn, 28 × 28": ("small_cnn", (1, 28, 28), 128, (1,)),
    "unet, 48 × 48": ("unet", (1, 48, 48), 16, (1,)),
}
"""Model, shape of an input, batch size, members."""


class Clock:
    """Seconds by phase."""

    def __init__(self) -> None:
        """None yet."""
        self.seconds: Counter[str] = Counter()
        self._is_open = False

    def watch(self, owner: type, name: str, phase: str) -> None:
        """Counts every call of a method, unless another is being counted."""
        call = getattr(owner, name)

        @wraps(call)
        def timed(*args: object, **kwargs: object) -> object:
            if self._is_open:
                return call(*args, **kwargs)
            self._is_open, began = True, time.perf_counter()
            try:
                return call(*args, **kwargs)
            finally:
                self.seconds[phase] += time.perf_counter() - began
                self._is_open = False

        setattr(owner, name, timed)


def random_data(shape: tuple[int, ...], *, is_dense: bool) -> DeviceData:
    """Noise of this shape; what a step takes does not depend on what it sees."""
    generator = np.random.default_rng(0)

    inputs = generator.integers(0, 256, (ROWS, *shape), dtype=np.uint8)
    labels = generator.integers(0, CLASSES, (ROWS, *shape[1:]) if is_dense else ROWS, dtype=np.uint8)
    arrays: dict[str, Any] = {
        "inputs": inputs if len(shape) == 3 else inputs.astype(np.float32),
        "labels": labels if is_dense else labels.astype(np.int64),
    }
    parts = {f"{part}_{name}": array for part in ("train", "test") for name, array in arrays.items()}
    return DeviceData(**parts, classes=CLASSES, device=torch.device("cpu"))


def training(model: str, data: DeviceData, *, batch_size: int, members: int) -> Training:
    """As many adaptive trials as members, which differ in alpha."""
    index = np.arange(ROWS)
    some = [
        Member(
            trial=TrialSpec(
                loss="adaptive", loss_params={"alpha": (1 + at) / (1 + members)}, model=model, model_params={},
                epochs=10_000, batch_size=batch_size, optimizer="adamw", lr=1e-3, weight_decay=0.01, schedule="cosine",
            ),
            seed=0,
            train_index=index[VALIDATION:],
            validation_index=index[:VALIDATION],
        )
        for at in range(members)
    ]  # fmt: skip
    widths = {"width": members} if "width" in inspect.signature(Training).parameters else {}
    return Training(some, data, **widths)


def measured(run_epoch: Callable[[], object], clock: Clock, *, steps: int, timed_s: float) -> dict[str, float]:
    """Milliseconds a step by phase, over epochs of so many seconds."""
    run_epoch()
    clock.seconds.clear()
    began, epochs = time.perf_counter(), 0
    while time.perf_counter() - began < timed_s:
        run_epoch()
        epochs += 1
    whole = time.perf_counter() - began
    found = dict(clock.seconds) | {REST: whole - sum(clock.seconds.values())}
    return {phase: 1000 * seconds / (epochs * steps) for phase, seconds in found.items()}


def main() -> None:
    """Prints a line a work and number of members."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="short ones: no numbers to quote")
    timed_s = 0.1 if parser.parse_args().quick else TIMED_S
    torch.set_num_threads(1)
    clock = Clock()
    for owner, name, phase in PHASES:
        clock.watch(owner, name, phase)
    for work, (model, shape, batch_size, stacks) in WORKS.items():
        data = random_data(shape, is_dense=model == "unet")
        for members in stacks:
            trained = training(model, data, batch_size=batch_size, members=members)
            found = measured(trained.run_epoch, clock, steps=(ROWS - VALIDATION) // batch_size, timed_s=timed_s)
            print(json.dumps({"work": work, "members": members, "ms": found}), flush=True)


if __name__ == "__main__":
    main()
