"""Prints this page's tables, and each loss's paired differences to cross-entropy, from replicates.csv.

python docs/results/post/table.py
"""

from pathlib import Path

import pandas as pd

from sweep.statistics import interval, paired_difference

SCORES = ["mean_iou", "iou/background", "iou/disc", "iou/square", "iou/triangle", "balanced_accuracy", "worst_recall"]
DIFFERENCES = ["mean_iou", "iou/background", "iou/square", "iou/triangle", "recall/square", "recall/triangle"]


def main() -> None:
    """Prints a table of scores and one of differences for each optimizer."""
    rows = pd.read_csv(Path(__file__).with_name("replicates.csv"))
    rows["alpha"] = rows["alpha"].fillna(-1)
    for optimizer, mine in rows.groupby("optimizer"):
        print(f"\n### {optimizer}\n\n| ratio | loss | {' | '.join(SCORES)} |\n|{'---|' * (len(SCORES) + 2)}")
        for (ratio, loss, alpha), found in mine.groupby(["ratio", "loss", "alpha"], sort=False):
            print(f"| {ratio} | {name(loss, alpha)} | {' | '.join(score(found[column]) for column in SCORES)} |")
        print(f"\nMinus cross_entropy:\n\n| ratio | loss | {' | '.join(DIFFERENCES)} |")
        print(f"|{'---|' * (len(DIFFERENCES) + 2)}")
        for (ratio, loss, alpha), found in mine.groupby(["ratio", "loss", "alpha"], sort=False):
            plain = mine[(mine["ratio"] == ratio) & (mine["loss"] == "cross_entropy")]
            cells = [difference(found, plain, column) for column in DIFFERENCES]
            if loss != "cross_entropy":
                print(f"| {ratio} | {name(loss, alpha)} | {' | '.join(cells)} |")


def name(loss: str, alpha: float) -> str:
    """The loss with its alpha, where it has one."""
    return loss if alpha < 0 else f"{loss} {alpha:g}"


def score(values: pd.Series) -> str:
    """Mean and half a 95 % interval, in percent."""
    found = interval(values.tolist())
    assert found.low is not None and found.high is not None
    return f"{100 * found.mean:.1f} ± {50 * (found.high - found.low):.1f}"


def difference(ours: pd.DataFrame, theirs: pd.DataFrame, column: str) -> str:
    """Mean of the differences by seed with a 95 % interval, in points; a star where it leaves out zero."""
    by_seed = [dict(zip(side["seed"], side[column], strict=True)) for side in (ours, theirs)]
    found = paired_difference(*by_seed)
    assert found is not None and found.low is not None and found.high is not None
    star = "*" if found.excludes_zero else ""
    return f"{100 * found.mean:+.1f} ({100 * found.low:+.1f} to {100 * found.high:+.1f}){star}"


if __name__ == "__main__":
    main()
