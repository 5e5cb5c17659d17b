"""How two sides are compared: in turns within one run, as ratios with their spread; and how the result is kept."""

import json
import os
import platform
import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import torch

RESULTS = Path("benchmarks/results")
ORDER = ("throughput", "service", "loss", "overhead", "scaling", "gpu", "outage", "profile", "before")
"""Of tables in the text that joins them: a file of its name, and others that begin with it and an underscore."""
_MEANINGLESS = "A quick run, to see that it works: its numbers mean nothing."


@dataclass(frozen=True, slots=True, kw_only=True)
class Ratio:
    """How many times longer one side takes than the other: the median over rounds, the least and the greatest."""

    median: float
    low: float
    high: float

    @classmethod
    def of(cls, slower: Sequence[float], faster: Sequence[float]) -> "Ratio":
        """Round by round, since what disturbs a machine disturbs both sides of a round."""
        return cls.over([one / other for one, other in zip(slower, faster, strict=True)])

    @classmethod
    def over(cls, rounds: Sequence[float]) -> "Ratio":
        """Of what each round found."""
        return cls(median=statistics.median(rounds), low=min(rounds), high=max(rounds))

    def at_most(self, aim: float) -> str:
        """Whether an aim is met: only where all rounds meet it, and missed only where none does."""
        if self.high <= aim:
            return "met"
        return "not met" if self.low > aim else "not resolved"

    def __str__(self) -> str:
        """As tables show it: 5.2× (4.9–5.6), and of one round 5.2×."""
        return spread(self.median, self.low, self.high, "×")


def spread(median: float, low: float, high: float, unit: str = "") -> str:
    """A median with the least and the greatest, but where there was one round, and so no spread."""
    return f"{median:.3g}{unit}" + ("" if low == high else f" ({low:.3g}–{high:.3g})")


def interleaved(sides: Mapping[str, Callable[[], float]], *, rounds: int) -> dict[str, list[float]]:
    """Seconds that each side says it took, `rounds` times in turns; every other round goes backwards."""
    seconds: dict[str, list[float]] = {name: [] for name in sides}
    for at in range(rounds):
        for name in list(sides) if at % 2 == 0 else reversed(list(sides)):
            seconds[name].append(sides[name]())
    return seconds


def machine() -> str:
    """The machine in a line, without its name."""
    found = [line.split(":")[1].strip() for line in _lines(Path("/proc/cpuinfo")) if line.startswith("model name")]
    processor = found[0] if found else platform.machine()
    gpu = f", {torch.cuda.get_device_name()}" if torch.cuda.is_available() else ""
    return f"{os.cpu_count()} cores of {processor}{gpu}, torch {torch.__version__}, Python {platform.python_version()}"


def keep(name: str, rows: Sequence[Mapping[str, object]], *, notes: Sequence[str], quick: bool) -> str:
    """Rows as a Markdown table, written into `benchmarks/results` with the same as JSON, and joined with the others.

    A quick run writes nothing.
    """
    facts = {"machine": machine(), "date": f"{datetime.now(UTC):%Y-%m-%d}"}
    notes = [*notes, "", _MEANINGLESS] if quick else notes
    columns = list(rows[0])
    lines = [f"| {' | '.join(columns)} |", f"|{'---|' * len(columns)}"]
    lines += [f"| {' | '.join(_shown(row.get(column, '')) for column in columns)} |" for row in rows]
    text = "\n".join([f"## {name}", "", *lines, "", *notes, "", f"{facts['machine']}, {facts['date']}."])
    if not quick:
        plain = [{key: _plain(value) for key, value in row.items()} for row in rows]
        data = json.dumps(facts | {"rows": plain, "notes": list(notes)}, indent=2)
        RESULTS.mkdir(parents=True, exist_ok=True)
        (RESULTS / f"{name}.json").write_text(data + "\n")
        (RESULTS / f"{name}.md").write_text(text + "\n")
        (RESULTS / "README.md").write_text(joined(RESULTS))
    return text


def joined(results: Path) -> str:
    """All tables in one text, in the order of the benchmarks."""
    found = [path for name in ORDER for path in sorted([*results.glob(f"{name}.md"), *results.glob(f"{name}_*.md")])]
    lines = ["# Results", "", "Written by the benchmarks; each table says where and when."]
    return "\n".join([*lines, *(f"\n{path.read_text().strip()}" for path in found)]) + "\n"


def _plain(value: object) -> object:
    return {"median": value.median, "low": value.low, "high": value.high} if isinstance(value, Ratio) else value


def _shown(value: object) -> str:
    return f"{value:.3g}" if isinstance(value, float) else str(value)


def _lines(path: Path) -> list[str]:
    return path.read_text().splitlines() if path.exists() else []
