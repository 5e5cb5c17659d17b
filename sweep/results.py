"""What a sweep says: per scenario the best point with its interval, its equals, and the gain over each baseline.

Selection looks at validation alone; the test set is shown beside it and never chooses.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from math import comb

from .slots import Replicate, Slot
from .statistics import CONFIDENCE, NO_WIDTH, Interval, interval, paired_difference
from .store import Sweep


@dataclass(frozen=True, slots=True, kw_only=True)
class Contender:
    """A finished trial as it stands in the results."""

    loss: str
    params: dict[str, float | str]
    trial: int
    value: float
    validation: dict[str, Interval]
    test: dict[str, Interval]


@dataclass(frozen=True, slots=True, kw_only=True)
class Gain:
    """The best point minus a baseline, paired by seed, in the sweep's objective."""

    baseline: str
    metric: str
    validation: Interval | None
    test: Interval | None
    verdict: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Indistinguishable:
    """The points that the replicates cannot tell from the best one, on validation, and their alphas.

    A point is left out only where it differs by an interval that holds for all pairs of points together, since the
    best one was chosen among them by the same scores.
    """

    trials: list[int]
    alphas: list[float]
    low: float
    high: float


@dataclass(frozen=True, slots=True, kw_only=True)
class ScenarioResult:
    """What the sweep found in one scenario; `best` is None while nothing is complete."""

    profile: str
    ratio: float
    counts: list[int]
    """Training samples by class, in the order of `Results.classes`."""
    best: Contender | None
    trials: list[Contender]
    """Every complete trial of the swept loss, by number."""
    baselines: list[Contender]
    indistinguishable: Indistinguishable | None
    gains: list[Gain]


@dataclass(frozen=True, slots=True, kw_only=True)
class Results:
    """What a sweep says so far, and what it cannot say."""

    sweep: str
    name: str
    objective: str
    classes: list[str]
    replicates: int
    scenarios: list[ScenarioResult]
    notes: list[str]


def results(sweep: Sweep, slots: Sequence[Slot]) -> Results:
    """The results so far, one scenario after the other in the order asked."""
    return Results(
        sweep=sweep.id,
        name=sweep.name,
        objective=sweep.spec.objective,
        classes=list(sweep.dataset.classes),
        replicates=sweep.spec.replicates,
        scenarios=[_scenario(sweep, index, slots) for index in range(len(sweep.scenarios))],
        notes=[*_shortfalls(sweep, slots), *_notes(sweep)],
    )


def _shortfalls(sweep: Sweep, slots: Sequence[Slot]) -> list[str]:
    """A sentence for every loss and scenario some of whose trials did not end well, with the first one's reason."""
    found = []
    for plan in sweep.studies:
        mine = [slot for slot in slots if slot.number in plan.numbers]
        failed = [slot for slot in mine if slot.state == "failed"]
        if failed and failed[0].last is not None:
            where = f"{plan.loss.name} at {sweep.scenarios[plan.scenario].title}"
            found.append(f"{len(failed)} of {len(mine)} trials of {where} failed, the first: {failed[0].last.reason}")
    return found


def _notes(sweep: Sweep) -> list[str]:
    n = sweep.spec.replicates
    chosen = (
        "The best point was chosen on validation among the points tried, so its validation score flatters it; the test"
        " scores chose nothing."
    )
    if n == 1:
        return ["One replicate has no interval, so nothing can be told apart. Ask for 3 replicates or more.", chosen]
    return [
        f"low and high are a {CONFIDENCE:.0%} Student t interval over {n} replicates (subset, initialisation and order"
        " vary together, the test set does not). Points are told apart by intervals that hold for all pairs of them"
        " together; the gains over the baselines are one comparison each, without correction.",
        f"With {n} replicates a sign-flip test cannot give a two-sided p below {2 / 2**n:.3g}.",
        chosen,
    ]


def _scenario(sweep: Sweep, index: int, slots: Sequence[Slot]) -> ScenarioResult:
    mine = [slot for slot in slots if slot.plan.scenario == index and slot.state == "complete"]
    swept = [slot for slot in mine if slot.plan.loss == sweep.spec.loss]
    best = _best(swept)
    rivals = [_best([slot for slot in mine if slot.plan.loss == loss]) for loss in sweep.spec.baselines]
    return ScenarioResult(
        profile=sweep.scenarios[index].profile,
        ratio=sweep.scenarios[index].ratio,
        counts=list(sweep.scenarios[index].counts),
        best=_contender(best) if best else None,
        trials=[_contender(slot) for slot in swept],
        baselines=[_contender(rival) for rival in rivals if rival],
        indistinguishable=_equals(best, swept) if best else None,
        gains=[_gain(sweep, best, rival) for rival in rivals if rival and best],
    )


def _best(slots: Sequence[Slot]) -> Slot | None:
    """The slot of the highest value on validation; of equal ones the first."""
    return max(slots, key=lambda slot: (_value(slot), -slot.number), default=None)


def _value(slot: Slot) -> float:
    assert slot.last is not None and slot.last.value is not None, "the slot is complete"
    return slot.last.value


def _contender(slot: Slot) -> Contender:
    replicates = _replicates(slot)
    return Contender(
        loss=slot.plan.loss.name,
        params=slot.params,
        trial=slot.number,
        value=_value(slot),
        validation=_intervals([replicate["validation"] for replicate in replicates]),
        test=_intervals([replicate["test"] for replicate in replicates]),
    )


def _replicates(slot: Slot) -> Sequence[Replicate]:
    return slot.last.replicates if slot.last else []


def _intervals(scores: Sequence[dict[str, float]]) -> dict[str, Interval]:
    return {name: interval([score[name] for score in scores if name in score]) for name in scores[0]}


def _equals(best: Slot, swept: Sequence[Slot]) -> Indistinguishable | None:
    if "alpha" not in best.params:
        return None
    equals = []
    pairs = max(comb(len(swept), 2), 1)
    for slot in swept:
        difference = paired_difference(_by_seed(best), _by_seed(slot), comparisons=pairs)
        if slot is best or (difference is not None and not difference.excludes_zero):
            equals.append(slot)
    alphas = sorted({float(slot.params["alpha"]) for slot in equals})
    return Indistinguishable(trials=[slot.number for slot in equals], alphas=alphas, low=alphas[0], high=alphas[-1])


def _gain(sweep: Sweep, best: Slot, rival: Slot) -> Gain:
    metric = sweep.spec.objective
    test = paired_difference(_by_seed(best, "test", metric), _by_seed(rival, "test", metric))
    return Gain(
        baseline=rival.plan.loss.name,
        metric=metric,
        validation=paired_difference(_by_seed(best), _by_seed(rival)),
        test=test,
        verdict=_verdict(test, sweep.spec.loss.name, rival.plan.loss.name),
    )


def _by_seed(slot: Slot, part: str = "validation", metric: str | None = None) -> dict[int, float]:
    if metric is None:
        return {replicate["seed"]: replicate["value"] for replicate in _replicates(slot)}
    return {
        replicate["seed"]: (replicate["test"] if part == "test" else replicate["validation"])[metric]
        for replicate in _replicates(slot)
    }


def _verdict(difference: Interval | None, ours: str, theirs: str) -> str:
    """One sentence about the test set that claims no more than the interval does."""
    if difference is None or difference.low is None or difference.high is None:
        return f"{ours} against {theirs}: one replicate cannot tell; run more replicates."
    if difference.high - difference.low < NO_WIDTH:
        return (
            f"{ours} and {theirs} differ by {100 * difference.mean:+.1f} points in each of {difference.n} replicates:"
            " the score is too coarse to say how sure that is."
        )
    span = f"{100 * difference.low:+.1f} to {100 * difference.high:+.1f} points over {difference.n} replicates"
    if not difference.excludes_zero:
        return f"{ours} and {theirs} cannot be told apart ({span})."
    return f"{ours} is {'ahead of' if difference.mean > 0 else 'behind'} {theirs} ({span})."
