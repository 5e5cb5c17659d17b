"""What the adaptive loss costs: a training step with it over one with cross-entropy, and the loss alone.

Beside it stands the form that people write, which takes the classes of a batch one by one (see `benchmarks.peers`).
One thread, no data needed, about a minute: python -m benchmarks.loss [--quick]
"""

import argparse
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from statistics import median

import torch
from torch import Tensor, nn

from loss import AdaptiveLoss

from .measure import Ratio, interleaved, keep
from .peers import practice
from .peers.models import small_cnn

AIM = 1.05
"""A step with the adaptive loss may take this many steps with cross-entropy."""
ALPHA = 0.01
IMBALANCE = 100
"""The most frequent class has this many times the samples of the rarest."""
PLAIN, OURS, PEERS = "cross-entropy", "adaptive, ours", "adaptive, by class"
_CHECKED_STEPS = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class Effort:
    """How long to measure."""

    rounds: int
    blocks: int
    """Of every side in a round, in turns; a round's ratio is the median over blocks that stand beside each other."""
    block_s: float
    """About what a block of the slowest side takes, at least one call."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """The shape of a batch: of logits (samples, classes, *pixels)."""

    samples: int
    classes: int
    pixels: tuple[int, ...] = ()

    def __str__(self) -> str:
        """As the table shows it."""
        return "x".join(str(size) for size in (self.samples, *self.pixels))


STEPS = Effort(rounds=7, blocks=50, block_s=0.0)
"""Single steps, which take as long as blocks of a loss: what is compared is a few hundredths of one."""
ALONE = Effort(rounds=7, blocks=8, block_s=0.012)
QUICK = Effort(rounds=2, blocks=2, block_s=0.001)
BATCHES = [
    *(Batch(samples=samples, classes=classes) for samples in (128, 1024) for classes in (10, 100, 1000, 10_000)),
    Batch(samples=16, classes=4, pixels=(48, 48)),
]


def criteria(classes: int, *, alpha: float = ALPHA) -> dict[str, nn.Module]:
    """The three losses by name."""
    return {
        PLAIN: nn.CrossEntropyLoss(),
        OURS: AdaptiveLoss(classes, alpha),
        PEERS: practice.AdaptiveLoss(classes, alpha),
    }


def labels(batch: Batch, *, generator: torch.Generator) -> Tensor:
    """Labels of a batch, their frequencies falling from class to class by one factor."""
    weight_C = IMBALANCE ** -torch.linspace(0, 1, batch.classes)
    count = torch.Size((batch.samples, *batch.pixels)).numel()
    drawn = torch.multinomial(weight_C, count, replacement=True, generator=generator)
    return drawn.view(batch.samples, *batch.pixels)


class Step:
    """A training step of small_cnn at Fashion-MNIST's shape, as PyTorch runs it fastest on a CPU."""

    def __init__(self, criterion: nn.Module, *, seed: int = 0, batches: int = 16) -> None:
        """The same weights and batches for the same seed."""
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            self._model = small_cnn(1, 10).to(memory_format=torch.channels_last)
        self._criterion = criterion
        self._optimizer = torch.optim.AdamW(self._model.parameters(), lr=1e-3, weight_decay=1e-2, fused=True)
        generator = torch.Generator().manual_seed(seed)
        self._batches = [
            (torch.randn(128, 1, 28, 28, generator=generator), labels(_FASHION_MNIST, generator=generator))
            for _ in range(batches)
        ]
        self.samples = 0
        self.taken = 0

    def __call__(self) -> Tensor:
        """Takes the next batch; answers the loss."""
        inputs, target = self._batches[self.taken % len(self._batches)]
        self._optimizer.zero_grad()
        loss: Tensor = self._criterion(self._model(inputs), target)
        loss.backward()  # type: ignore[no-untyped-call]
        self._optimizer.step()
        self.taken += 1
        self.samples += len(inputs)
        return loss.detach()


class Alone:
    """Forward and backward of a loss, without a model."""

    def __init__(self, criterion: nn.Module, batch: Batch, *, seed: int = 0) -> None:
        """The same logits and labels for the same seed."""
        generator = torch.Generator().manual_seed(seed)
        shape = (batch.samples, batch.classes, *batch.pixels)
        self._logits = torch.randn(shape, generator=generator).requires_grad_()
        self._target = labels(batch, generator=generator)
        self._criterion = criterion

    def __call__(self) -> Tensor:
        """The gradient by the logits."""
        self._logits.grad = None
        self._criterion(self._logits, self._target).backward()
        assert self._logits.grad is not None
        return self._logits.grad


_FASHION_MNIST = Batch(samples=128, classes=10)


def disagreements() -> Iterator[str]:
    """Where the sides do not do the same work: ours and the peer's, and ours at alpha 0 and cross-entropy."""
    for alpha, names in ((ALPHA, (OURS, PEERS)), (0.0, (PLAIN, OURS))):
        steps = [Step(criteria(10, alpha=alpha)[name]) for name in names]
        for at in range(_CHECKED_STEPS):
            one, other = (step().item() for step in steps)
            if abs(one - other) > 1e-4 * abs(one):
                yield f"losses at step {at + 1}, alpha {alpha}: {names[0]} {one:.6f}, {names[1]} {other:.6f}"
    for batch in (BATCHES[0], BATCHES[-1]):
        ours, peers = (Alone(criteria(batch.classes)[name], batch)() for name in (OURS, PEERS))
        if not torch.allclose(ours, peers, rtol=1e-3, atol=1e-7):
            yield f"gradients of a batch {batch} of {batch.classes} classes: {OURS} and {PEERS}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Timed:
    """What a call of one side takes of its thread."""

    seconds: float
    over_plain: Ratio


def compare(sides: Mapping[str, Callable[[], Tensor]], effort: Effort) -> dict[str, Timed]:
    """Times every side against cross-entropy; every side is called equally often."""
    slowest = 0.0
    for side in sides.values():
        side()  # the first call also fills caches
        began = time.thread_time()
        side()
        slowest = max(slowest, time.thread_time() - began)
    calls = max(int(effort.block_s / slowest), 1)
    blocks = {name: _block(side, calls) for name, side in sides.items()}
    rounds = [interleaved(blocks, rounds=effort.blocks) for _ in range(effort.rounds)]
    return {
        name: Timed(
            seconds=median(seconds for one in rounds for seconds in one[name]),
            over_plain=Ratio.over([Ratio.of(one[name], one[PLAIN]).median for one in rounds]),
        )
        for name in sides
    }


def _block(side: Callable[[], Tensor], calls: int) -> Callable[[], float]:
    def run() -> float:
        began = time.thread_time()
        for _ in range(calls):
            side()
        return (time.thread_time() - began) / calls

    return run


def main() -> int:
    """Prints both tables, and keeps them; 1 where the sides turn out to do different work."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="only try whether it runs: its numbers mean nothing")
    quick = parser.parse_args().quick
    torch.set_num_threads(1)
    if found := list(disagreements()):
        print("Not the same work, so nothing was measured:", *found, sep="\n", file=sys.stderr)
        return 1
    print("steps of small_cnn ...", file=sys.stderr)
    steps = {name: Step(criterion) for name, criterion in criteria(10).items()}
    effort = QUICK if quick else STEPS
    timed = compare(steps, effort)
    if len({step.samples for step in steps.values()}) > 1:
        print(f"Not the same samples: { ({name: step.samples for name, step in steps.items()}) }", file=sys.stderr)
        return 1
    ours = timed[OURS].over_plain
    rows = [
        {"loss": name, "ms a step": 1000 * one.seconds, f"over {PLAIN}": one.over_plain} for name, one in timed.items()
    ]
    notes = [
        "A training step of small_cnn (1x28x28, 10 classes at 100 to 1, batch 128) with fused AdamW, one thread.",
        f"Aim: at most {AIM}, {ours.at_most(AIM)} ({ours}): met where all rounds meet it, not met where none does.",
        _spread(effort),
    ]
    print(keep("loss", rows, notes=notes, quick=quick), end="\n\n")
    effort = QUICK if quick else ALONE
    notes = ["Forward and backward of the loss alone, one thread; classes at 100 to 1.", _spread(effort)]
    print(keep("loss_alone", [_row(batch, effort) for batch in BATCHES], notes=notes, quick=quick))
    return 0


def _row(batch: Batch, effort: Effort) -> dict[str, object]:
    print(f"loss alone: batch {batch}, {batch.classes} classes ...", file=sys.stderr)
    timed = compare({name: Alone(one, batch) for name, one in criteria(batch.classes).items()}, effort)
    return {
        "batch": str(batch),
        "classes": batch.classes,
        **{f"{name}, ms": 1000 * one.seconds for name, one in timed.items()},
        **{f"{name} over {PLAIN}": timed[name].over_plain for name in (OURS, PEERS)},
    }


def _spread(effort: Effort) -> str:
    return (
        f"Ratios: median of {effort.rounds} rounds, least and greatest; of a round over its {effort.blocks} blocks,"
        " in which the sides stand beside each other. Seconds are those of the thread, whatever else the machine does."
    )


if __name__ == "__main__":
    sys.exit(main())
