"""Runs the benchmarks one after another; benchmarks/results/README.md has their tables in the end.

python -m benchmarks [--data DATA] [--only NAME]... [--quick]

16 minutes on two cores that do nothing else; gpu runs where there is a GPU. One that fails does not stop the
others, but the exit status is 1 in the end. A quick run takes small sizes, to see that all works; it shows its tables
and keeps none.
"""

import argparse
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path

import torch

from .measure import RESULTS

ROOT = Path(__file__).resolve().parent.parent
SCRIPTS: Mapping[str, bool] = {
    "throughput": True,
    "service": True,
    "loss": False,
    "overhead": True,
    "scaling": True,
    "gpu": False,
}
"""Each benchmark in its turn, and whether it reads the data folder."""


def command(name: str, *, data_dir: Path, quick: bool) -> list[str]:
    """The command line of a benchmark."""
    data = ["--data", str(data_dir.resolve())] if SCRIPTS[name] else []
    return [sys.executable, "-m", f"benchmarks.{name}", *data, *(["--quick"] if quick else [])]


def run(name: str, *, data_dir: Path, quick: bool) -> bool:
    """Runs a benchmark and says how long it took; whether it went well."""
    print(f"\n=== {name}", flush=True)
    began = time.perf_counter()
    done = subprocess.run(command(name, data_dir=data_dir, quick=quick), cwd=ROOT)
    state = "done" if done.returncode == 0 else f"FAILED with exit status {done.returncode}"
    print(f"=== {name}: {state} after {time.perf_counter() - began:.0f} s", flush=True)
    return done.returncode == 0


def main() -> None:
    """Runs what is asked for."""
    arguments = argparse.ArgumentParser(
        prog="python -m benchmarks", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    arguments.add_argument("--data", type=Path, default=Path("evenhand-data"), help="the data folder, as the service's")
    arguments.add_argument("--only", choices=SCRIPTS, action="append", help="this benchmark; may be given again")
    arguments.add_argument("--quick", action="store_true", help="small sizes, to see that all works")
    args = arguments.parse_args()
    names = args.only or [name for name in SCRIPTS if name != "gpu" or torch.cuda.is_available()]
    if not args.only and "gpu" not in names:
        print("gpu is left out: torch sees no GPU.")
    began = time.perf_counter()
    failed = [name for name in names if not run(name, data_dir=args.data, quick=args.quick)]
    print(f"\n{len(names) - len(failed)} of {len(names)} benchmarks done in {time.perf_counter() - began:.0f} s.")
    if not args.quick:
        print(f"Tables: {RESULTS / 'README.md'}")
    if failed:
        sys.exit(f"Failed: {', '.join(failed)}.")


if __name__ == "__main__":
    main()
