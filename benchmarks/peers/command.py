"""The command line that the sides share, and what they write."""

import argparse
import json
from collections.abc import Sequence
from pathlib import Path
from typing import NotRequired, TypedDict

Scores = dict[str, float | list[float]]


class Result(TypedDict):
    """What a trial did, its mean loss in the last epoch, and its scores after it."""

    alpha: float
    samples: int
    steps: int
    final: Scores
    train_loss: NotRequired[float]


def parser(description: str | None) -> argparse.ArgumentParser:
    """FOLDER --trials N --out result.json."""
    made = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    made.add_argument("folder", type=Path, help="an exported work")
    made.add_argument("--trials", type=int, help="how many to train; the work says it otherwise")
    made.add_argument("--out", type=Path, required=True, help="the JSON file to write")
    return made


def peer_parser(description: str | None) -> argparse.ArgumentParser:
    """The same with [--tuned] [--threads T]."""
    made = parser(description)
    made.add_argument("--tuned", action="store_true", help="train as an expert does, not as tutorials show")
    made.add_argument("--threads", type=int, help="of torch, in every trial")
    return made


def write(out: Path, *, side: str, seconds: float, trials: Sequence[Result]) -> None:
    """What this side took, and what it trained."""
    out.write_text(json.dumps({"side": side, "seconds": seconds, "trials": list(trials)}, indent=2) + "\n")
    print(f"{side}: {len(trials)} trials in {seconds:.2f} s")
