"""Whether two sides of a comparison did equal work."""

import math
import statistics
from collections.abc import Sequence

import numpy as np

from .peers.command import Result

FIRST = 10
"""Trials that every sampler draws at random, before it models what it was told: of others scores are not compared."""
SLACK, SLACK_OF_FEW, SAME = 0.02, 0.15, 0.01
"""By which mean scores may differ: of trials that were drawn apart, beside their errors; of fewer than `FIRST`, which
are of one or a few epochs and begin at one and the same weights a side, of which their deviation says nothing (an epoch
of Fashion-MNIST made .085); and of the same trials, as wide stacks sum in another order."""
LOSS, LOSS_OF_FEW = 1.2, 1.5
"""Times by which training losses may differ, beside their errors; other weights to begin with make up to 1.17. Fewer
trials than `FIRST` are also of few epochs, in which losses still fall fast: a first epoch of shapes makes 1.22."""
_NEAR, _FEWEST = math.log(5), 3
"""Losses are compared at alphas between two of ours that are so near each other, where there are so many."""
RULE = (
    "Equal work, in every round: every trial takes as many samples and steps. Over the first"
    f" {FIRST} trials (or as many as both sides have), which all samplers draw at random, the mean final score"
    f" (balanced accuracy; mean IoU of shapes) differs from ours by at most {SLACK} ({SLACK_OF_FEW}"
    " where there are fewer trials) + 3 standard errors, of the side that varies less where alphas are the same; and"
    " the training loss of the last epoch, the median over trials, each"
    f" against ours at its alpha (between our trials interpolated), by at most {LOSS} times ({LOSS_OF_FEW} where there"
    " are fewer trials) and 3 standard errors."
)


class Unequal(Exception):
    """Raised where the two sides did not do the same work; the message says in what they differ."""


def differences(ours: Sequence[Result], peers: Sequence[Result], *, same_trials: bool = False) -> list[str]:
    """In what a peer's trials differ from ours more than by chance; `same_trials` says that both trained the same."""
    done = [sorted({(trial["samples"], trial["steps"]) for trial in side}) for side in (ours, peers)]
    if done[0] != done[1] or len(done[0]) > 1:
        return [f"expected as many samples and steps in every trial, got {done[1]}, and {done[0]} of ours"]
    count = len(ours) if same_trials else min(FIRST, len(ours), len(peers))
    score, our_score = ([_score(trial) for trial in side[:count]] for side in (peers, ours))
    variances = [statistics.variance(side) if count > 1 else 0.0 for side in (score, our_score)]
    # Other alphas may have other scores, and few trials tell little of a deviation; else a side that strays must not
    # widen what is allowed.
    is_like = count >= FIRST and {trial["alpha"] for trial in peers[:count]} <= {trial["alpha"] for trial in ours}
    variance = 2 * min(variances) if is_like else sum(variances)
    slack = SLACK if count >= FIRST else SLACK_OF_FEW
    allowed = SAME if same_trials else slack + 3 * math.sqrt(variance / count)
    reasons = []
    if abs(statistics.fmean(score) - statistics.fmean(our_score)) > allowed:
        reasons.append(
            f"expected the mean final score within {allowed:.3f} of ours,"
            f" got {statistics.fmean(score):.3f} and {statistics.fmean(our_score):.3f}"
        )
    if all("train_loss" in trial for trial in (*ours, *peers)):
        ratio, times = _loss_ratio(ours, peers[:count])
        if not 1 / times <= ratio <= times:
            reasons.append(f"expected at most {times:.2f} times between the losses of the last epoch, got {ratio:.2f}")
    return reasons


def _score(trial: Result) -> float:
    final = trial["final"]
    score = final["mean_iou" if "mean_iou" in final else "balanced_accuracy"]
    assert isinstance(score, float)
    return score


def _loss_ratio(ours: Sequence[Result], peers: Sequence[Result]) -> tuple[float, float]:
    """How many times the loss of ours the peers' is at the same alpha, and how many times it may be."""
    ours = sorted(ours, key=lambda trial: trial["alpha"])
    (alpha, loss), (peers_alpha, peers_loss) = (
        np.log([(trial["alpha"], max(trial["train_loss"], 1e-9)) for trial in side]).T for side in (ours, peers)
    )
    above, below = np.searchsorted(alpha, peers_alpha), np.searchsorted(alpha, peers_alpha, side="right") - 1
    within = (below >= 0) & (above < len(alpha))
    within[within] = alpha[above[within]] - alpha[below[within]] <= _NEAR
    most = LOSS if len(peers) >= FIRST else LOSS_OF_FEW
    if within.sum() < _FEWEST:
        return 1.0, most
    ratios = (peers_loss - np.interp(peers_alpha, alpha, loss))[within]
    ratio = float(np.median(ratios))
    if np.isin(peers_alpha, alpha).all():
        apart = ratios - ratio
    else:  # how far ours are from lines between their neighbours says how well lines tell what lies between
        inner = range(1, len(ours) - 1)
        apart = [loss[at] - np.interp(alpha[at], alpha[[at - 1, at + 1]], loss[[at - 1, at + 1]]) for at in inner]
    # A deviation that a few trials far off do not change, as they do not a median.
    error = 1.48 * float(np.median(np.abs(apart))) * math.sqrt(2 / len(ratios))
    return math.exp(ratio), most * math.exp(3 * error)
