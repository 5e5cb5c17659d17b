"""Where a training step's time went before the trainer was made quick, and where it goes now, by phase.

python -m benchmarks.before [--quick]

The trainer of commit 03b12e3, taken from the history into a folder of its own, and the one at hand are timed in turns
on noise, on one thread. Two minutes; it needs a clone with its history.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

from . import before_side
from .measure import Ratio, keep

BEFORE = "03b12e3"
"""The last commit whose loss was mapped over members, whose parameters lay by layer, and so on: docs/performance.md."""
ROOT = Path(__file__).resolve().parent.parent
ROUNDS = 3
Steps = Mapping[tuple[str, int], Mapping[str, float]]
"""Milliseconds a step by phase, by work and members."""


def steps(tree: Path, *, quick: bool) -> Steps:
    """What the trainer of a tree takes."""
    environment = os.environ | {"PYTHONPATH": str(tree)}
    # -P: or this folder's own modules would stand before the tree's packages.
    command = [sys.executable, "-P", before_side.__file__, *(["--quick"] if quick else [])]
    done = subprocess.run(command, env=environment, cwd=tree, stdout=subprocess.PIPE, text=True, check=True)
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    return {(line["work"], line["members"]): line["ms"] for line in lines}


def table(before: Sequence[Steps], after: Sequence[Steps]) -> list[dict[str, object]]:
    """A row a work and stack: the whole step of both, and each phase as "before → after", medians over rounds."""
    rows = []
    for key in before[0]:
        work, members = key
        whole = [[sum(found[key].values()) for found in side] for side in (before, after)]
        phases = {
            phase: " → ".join(
                f"{statistics.median(found[key][phase] for found in side):.3g}" for side in (before, after)
            )
            for phase in before[0][key]
        }
        rows.append(
            {"model": work, "members": members}
            | {"before, ms": statistics.median(whole[0]), "after, ms": statistics.median(whole[1])}
            | {"before / after": Ratio.of(*whole)}
            | phases
        )
    return rows


def main() -> None:
    """Measures both and keeps the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="one round of short ones: no numbers to quote")
    args = parser.parse_args()
    before: list[Steps] = []
    after: list[Steps] = []
    with tempfile.TemporaryDirectory(prefix="evenhand-before-") as folder:
        archive = subprocess.run(
            ["git", "archive", BEFORE, "loss", "worker", "sweep"], cwd=ROOT, stdout=subprocess.PIPE
        )
        if archive.returncode:
            sys.exit(f"Commit {BEFORE} is not in this clone's history; take a whole one (git fetch --unshallow).")
        subprocess.run(["tar", "-x", "-C", folder], input=archive.stdout, check=True)
        for _ in range(1 if args.quick else ROUNDS):
            before.append(steps(Path(folder), quick=args.quick))
            after.append(steps(ROOT, quick=args.quick))
            print(f"round {len(after)} is done", flush=True)
    notes = [
        f"Milliseconds of a training step, its share of a validation included: commit {BEFORE}, and the trainer at"
        " hand; one thread, AdamW, the adaptive loss, noise of 10 classes, 768 samples to train on and 256 to validate;"
        f" medians of {ROUNDS} rounds in turns, the ratio with its least and greatest."
    ]
    print(keep("before", table(before, after), notes=notes, quick=args.quick))


if __name__ == "__main__":
    main()
