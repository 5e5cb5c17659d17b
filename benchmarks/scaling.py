"""Trials an hour over the width of a stack, in one process, in two, and in one of two threads.

Two minutes on two cores: python -m benchmarks.scaling [--data DATA] [--quick]

Times a few steps of stacks of 1 to 64 members (small_cnn: 8), with their share of validation by epoch,
and says how many whole trials an hour that makes. Writes a table and `benchmarks/results/scaling.png`. Fashion-MNIST
must be in the data folder (`make fashion-mnist`), else it is left out.
"""

import argparse
import statistics
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import StrMethodFormatter
from numpy.typing import NDArray

from worker.training.trainer import Training

from .measure import RESULTS, Ratio, interleaved, keep
from .ours import Crew
from .works import WORKS, Prepared, prepared_works

WIDTHS = {"toy2d": (1, 4, 16, 32, 64), "digits": (1, 4, 16, 32, 64), "fashion_mnist": (1, 2, 8)}
"""Of the last fewer: it bends early, and a wide stack would take minutes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Way:
    """How the machine's cores are used."""

    processes: int
    threads: int

    def __str__(self) -> str:
        """As tables and the plot name it."""
        threads = f", {self.threads} threads" if self.threads > 1 else ""
        return f"{self.processes} process{'es' if self.processes > 1 else ''}{threads}"


ONE, *OTHERS = WAYS = (
    Way(processes=1, threads=1),
    Way(processes=2, threads=1),
    Way(processes=1, threads=2),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """How long a work is looked at."""

    steps: int
    """Of an epoch that is cut short."""
    rounds: int


PLANS = {
    "toy2d": Plan(steps=8, rounds=2),
    "digits": Plan(steps=5, rounds=2),
    "fashion_mnist": Plan(steps=2, rounds=2),
}
_AT_LEAST_S = 0.2
Seconds = Mapping[tuple[int, Way], Sequence[float]]
"""Seconds that a step takes, divided by the members that all processes train in it; one number a round."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Bend:
    """The line that step times follow over the width: `fixed` + `each` × width, in seconds."""

    fixed: float
    each: float

    @classmethod
    def of(cls, seconds: Mapping[int, float]) -> "Bend":
        """Least squares of the relative error; `seconds` is what a step takes by width."""
        widths = np.array(list(seconds), dtype=float)
        steps = np.array(list(seconds.values()))
        (fixed, each), *_ = np.linalg.lstsq(np.stack([1 / steps, widths / steps], axis=1), np.ones(len(steps)))
        return cls(fixed=max(float(fixed), 0.0), each=float(each))

    @property
    def width(self) -> float:
        """Where the members' own share of a step becomes larger than what they have in common."""
        return self.fixed / self.each


def step_seconds(prepared: Prepared, *, width: int, threads: int, steps: int) -> float:
    """What a step of a stack takes, with its share of the validation: the quickest of several epochs."""
    torch.set_num_threads(threads)
    (member,) = prepared.members(0.05)
    rows = min(steps * member.trial.batch_size, len(member.train_index))
    share = rows / len(member.train_index)
    short = replace(
        member,
        trial=replace(member.trial, epochs=1_000_000),
        train_index=_spread(member.train_index, share),
        validation_index=_spread(member.validation_index, share),
    )
    training = Training([short] * width, prepared.data)
    times: list[float] = []
    while len(times) < 2 or sum(times) < _AT_LEAST_S:
        began = time.perf_counter()
        record = training.run_epoch()[0]
        times.append((time.perf_counter() - began) / record.steps)
    return min(times)


def _spread(index: NDArray[np.int64], share: float) -> NDArray[np.int64]:
    some: NDArray[np.int64] = index[np.linspace(0, len(index) - 1, max(round(share * len(index)), 1)).astype(int)]
    return some


def measure(prepared: Prepared, plan: Plan, *, data_dir: Path, widths: Sequence[int]) -> Seconds:
    """Times every width in every way, in turns."""
    crew = Crew(prepared.work, data_dir, processes=max(way.processes for way in WAYS))

    def timed(width: int, way: Way) -> float:
        for at in range(way.processes):
            crew.give(at, partial(step_seconds, width=width, threads=way.threads, steps=plan.steps))
        # Rates add up, times do not.
        rate: float = sum(width / crew.take(at) for at in range(way.processes))
        return 1 / rate

    sides = {(width, way): partial(timed, width, way) for width in widths for way in WAYS}
    names = {str(key): key for key in sides}
    found = interleaved({str(key): side for key, side in sides.items()}, rounds=plan.rounds)
    crew.leave()
    return {names[name]: seconds for name, seconds in found.items()}


def per_hour(prepared: Prepared, seconds: float) -> float:
    """Whole trials an hour where a member's step takes so long."""
    (member,) = prepared.members(0.05)
    steps = -(-len(member.train_index) // member.trial.batch_size)
    return 3600 / (seconds * steps * member.trial.epochs)


def rows(prepared: Prepared, seconds: Seconds) -> list[dict[str, object]]:
    """The work's rows, a width each."""
    work = f"{prepared.work.name}, {prepared.resolved.spec.model.name}"
    made = []
    for width in sorted({width for width, _ in seconds}):
        alone = seconds[width, ONE]
        row: dict[str, object] = {
            "work": work,
            "width": width,
            f"{ONE}, trials/h": f"{per_hour(prepared, statistics.median(alone)):,.0f}",
            "over width 1": Ratio.of(seconds[1, ONE], alone),
        }
        for way in OTHERS:
            row[f"{way}, over {ONE}"] = Ratio.of(alone, seconds[width, way])
        made.append(row)
    return made


def explained(prepared: Prepared, seconds: Seconds) -> str:
    """Where the work's curve bends, and why."""
    by_width = {width: statistics.median(of) * width for (width, way), of in seconds.items() if way == ONE}
    bend = Bend.of(by_width)
    best = min(by_width, key=lambda width: by_width[width] / width)
    text = (
        f"{prepared.work.name}: a step takes about {1000 * bend.fixed:.3g} ms + {1000 * bend.each:.3g} ms a member,"
        f" so the curve bends at a width of {bend.width:.2g}; most trials an hour at {best}."
    )
    if bend.width < 1:
        text += " A step's fixed cost is less than one member's arithmetic: there is little to share."
    else:
        text += " Left of the bend members share the fixed cost (Python, launches, the batch), right of it they add."
    widest = max(by_width)
    if by_width[widest] / widest > 1.1 * by_width[best] / best:
        text += f" At {widest} a member's step takes {by_width[widest] / widest / (by_width[best] / best):.2g}× the"
        text += " least: by our reading it has outgrown the caches, which was not measured."
    return text


def plot(found: Mapping[str, tuple[Prepared, Seconds]], path: Path) -> None:
    """A panel a work: trials an hour over width, a line for each way, the bend dotted."""
    figure = Figure(figsize=(4.2 * len(found), 4), layout="constrained")
    panels = figure.subplots(1, len(found), squeeze=False)[0]
    for panel, (prepared, seconds) in zip(panels, found.values(), strict=True):
        _draw(panel, prepared, seconds)
    panels[0].set_ylabel("trials an hour")
    panels[0].legend(frameon=False)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=120)


def _draw(panel: Axes, prepared: Prepared, seconds: Seconds) -> None:
    widths = sorted({width for width, _ in seconds})
    for way, marker in zip(WAYS, "os^", strict=True):
        rates = [per_hour(prepared, statistics.median(seconds[width, way])) for width in widths]
        panel.plot(widths, rates, marker=marker, label=str(way))
    bend = Bend.of({width: statistics.median(seconds[width, ONE]) * width for width in widths}).width
    if widths[0] < bend < widths[-1]:
        panel.axvline(bend, color="grey", linestyle=":")
        panel.annotate("bend", (bend, 0.02), xycoords=("data", "axes fraction"), color="grey", ha="left")
    panel.set_xscale("log", base=2)
    panel.set_yscale("log", base=2)
    panel.set_xticks(widths, [str(width) for width in widths])
    panel.yaxis.set_major_formatter(StrMethodFormatter("{x:,.0f}"))
    panel.set_xlabel("width (members in a stack)")
    panel.set_title(f"{prepared.work.name}, {prepared.resolved.spec.model.name}")
    panel.grid(alpha=0.3)


def main() -> None:
    """Times every work that there is data for."""
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--data", type=Path, default=Path("evenhand-data"), help="the data folder, as the service's")
    arguments.add_argument("--quick", action="store_true", help="digits up to a width of 4, to see that all is there")
    args = arguments.parse_args()
    plans = {"digits": Plan(steps=2, rounds=1)} if args.quick else PLANS
    found: dict[str, tuple[Prepared, Seconds]] = {}
    works, left_out = prepared_works([WORKS[name] for name in plans], args.data)
    notes = [] if args.quick else ["![Trials an hour over width](scaling.png)", ""]
    notes += [f"- {note}" for note in left_out]
    for prepared in works:
        work = prepared.work.name
        print(f"{work}: {plans[work].rounds} round(s)", flush=True)
        seconds = measure(prepared, plans[work], data_dir=args.data, widths=WIDTHS[work][: 2 if args.quick else None])
        found[work] = prepared, seconds
        notes.append(f"- {explained(prepared, seconds)}")
    if not args.quick:
        plot(found, RESULTS / "scaling.png")
    print(keep("scaling", [row for one in found.values() for row in rows(*one)], notes=notes, quick=args.quick))


if __name__ == "__main__":
    main()
