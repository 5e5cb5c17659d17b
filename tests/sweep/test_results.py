"""What a sweep says, on scores worked by hand: the best, its equals, the gain over each baseline, in honest words."""

from collections.abc import Callable, Sequence
from dataclasses import replace

import pytest

from sweep.results import Results, results
from sweep.slots import Slot
from sweep.store import Sweep

from .conftest import attempt

Submit = Callable[..., Sweep]
Told = Callable[..., list[Slot]]
ONE_RATIO = {"profile": "exponential", "ratios": [10]}
ALPHAS = [0.1, 0.2, 0.4]

CLEAR = {0: [0.50, 0.60, 0.70], 1: [0.60, 0.70, 0.80], 2: [0.61, 0.68, 0.81]}
"""Trial 1 and 2 have the same mean; 1 beats 0 by 0.1 under every seed and differs from 2 by -0.01, 0.02, -0.01."""


@pytest.fixture
def said(submit: Submit, told: Told) -> Callable[..., Results]:
    """The results of three alphas at ratio 10 with these scores by trial."""

    def say(
        scores: dict[int, Sequence[float]],
        *,
        tests: dict[int, Sequence[float]] | None = None,
        **fields: object,
    ) -> Results:
        sweep = submit(**{"alpha": ALPHAS, "imbalance": ONE_RATIO, **fields})
        return results(sweep, told(sweep, scores, tests=tests, alphas=ALPHAS))

    return say


def test_the_best_is_the_highest_on_validation_whatever_the_test_says(said: Callable[..., Results]) -> None:
    scores = {0: [0.5, 0.6], 1: [0.7, 0.8], 2: [0.6, 0.7]}
    tests = {0: [0.99, 0.99], 1: [0.1, 0.2], 2: [0.5, 0.5]}
    found = said(scores, tests=tests, replicates=2, name="mine")
    (scenario,) = found.scenarios
    best = scenario.best
    assert best is not None
    assert (best.trial, best.loss, best.params) == (1, "adaptive", {"alpha": 0.2, "label_smoothing": 0.0})
    assert best.value == pytest.approx(0.75)
    assert best.validation["balanced_accuracy"].mean == pytest.approx(0.75)
    assert best.test["balanced_accuracy"].mean == pytest.approx(0.15)
    assert [trial.trial for trial in scenario.trials] == [0, 1, 2]
    assert (found.name, found.objective, found.classes) == ("mine", "balanced_accuracy", list("0123456789"))


def test_of_equals_the_first_is_shown(said: Callable[..., Results]) -> None:
    (scenario,) = said({0: [0.5], 1: [0.75], 2: [0.75]}, replicates=1).scenarios
    assert scenario.best is not None
    assert scenario.best.trial == 1


def test_scores_come_with_their_interval_over_replicates(said: Callable[..., Results]) -> None:
    (scenario,) = said({0: [0.4, 0.5, 0.6]}).scenarios
    (trial,) = scenario.trials
    score = trial.validation["balanced_accuracy"]
    half = 4.30265 * 0.1 / 3**0.5
    assert score.n == 3
    assert [score.mean, score.low, score.high] == pytest.approx([0.5, 0.5 - half, 0.5 + half], rel=1e-5)


def test_alphas_that_the_replicates_cannot_tell_from_the_best_are_named(said: Callable[..., Results]) -> None:
    (scenario,) = said(CLEAR).scenarios
    equals = scenario.indistinguishable
    assert equals is not None
    assert (equals.alphas, equals.low, equals.high) == ([0.2, 0.4], 0.2, 0.4)


def test_one_replicate_tells_no_alpha_from_another_by_its_interval(said: Callable[..., Results]) -> None:
    (scenario,) = said({0: [0.1], 1: [0.9], 2: [0.5]}, replicates=1, baselines=["focal"]).scenarios
    assert scenario.best is not None
    score = scenario.best.validation["balanced_accuracy"]
    assert (score.mean, score.low, score.high, score.n) == (0.9, None, None, 1)
    assert scenario.indistinguishable is not None
    assert scenario.indistinguishable.alphas == ALPHAS


@pytest.mark.parametrize(
    ("rival", "verdict"),
    [
        # Paired on the test set against 0.60, 0.70, 0.80.
        # Differences of .10, .11 and .12: .11 with t(2) = 4.303 times .01 / sqrt(3) to either side.
        ([0.50, 0.59, 0.68], "adaptive is ahead of focal (+8.5 to +13.5 points over 3 replicates)."),
        ([0.65, 0.76, 0.87], "adaptive is behind focal (-8.5 to -3.5 points over 3 replicates)."),
        (
            [0.50, 0.60, 0.70],
            "adaptive and focal differ by +10.0 points in each of 3 replicates: the score is too coarse to say how sure"
            " that is.",
        ),
        # Differences -0.1, 0, 0.1: mean 0, half 4.30265 x 0.1 / sqrt 3 = 0.248.
        ([0.70, 0.70, 0.70], "adaptive and focal cannot be told apart (-24.8 to +24.8 points over 3 replicates)."),
    ],
)
def test_a_verdict_says_no_more_than_the_test_sets_interval(
    rival: list[float], verdict: str, said: Callable[..., Results]
) -> None:
    scores = {1: [0.9, 0.9, 0.9], 3: [0.1, 0.1, 0.1]}  # validation says otherwise, and is not asked
    (scenario,) = said(scores, tests={1: [0.60, 0.70, 0.80], 3: rival}, baselines=["focal"]).scenarios
    (gain,) = scenario.gains
    assert (gain.baseline, gain.metric, gain.verdict) == ("focal", "balanced_accuracy", verdict)
    assert gain.validation is not None
    assert gain.validation.mean == pytest.approx(0.8)


def test_one_replicate_gives_no_verdict(said: Callable[..., Results]) -> None:
    (scenario,) = said({1: [0.9], 3: [0.1]}, replicates=1, baselines=["focal"]).scenarios
    assert [gain.verdict for gain in scenario.gains] == [
        "adaptive against focal: one replicate cannot tell; run more replicates."
    ]


def test_a_scenario_without_a_complete_trial_has_no_best(said: Callable[..., Results]) -> None:
    found = said({4: [0.5, 0.5, 0.5]}, imbalance={"profile": "step", "ratios": [10, 2]}, baselines=["focal"])
    first, second = found.scenarios
    assert (first.best, first.trials, first.baselines, first.gains, first.indistinguishable) == (None, [], [], [], None)
    assert (first.profile, first.ratio, first.counts) == ("step", 10, [105] * 5 + [10] * 5)
    assert (second.ratio, second.counts) == (2, [105] * 5 + [52] * 5)
    assert second.best is not None
    assert (second.best.trial, second.baselines) == (4, [])


def test_baselines_stand_in_the_order_asked_each_by_its_best(said: Callable[..., Results]) -> None:
    scores = {3: [0.3, 0.3], 4: [0.2, 0.2], 1: [0.4, 0.4]}
    (scenario,) = said(scores, replicates=2, baselines=["weighted", "cross_entropy"]).scenarios
    assert [(row.loss, row.trial) for row in scenario.baselines] == [("weighted", 3), ("cross_entropy", 4)]
    assert "alpha" not in scenario.baselines[0].params
    assert [gain.baseline for gain in scenario.gains] == ["weighted", "cross_entropy"]


@pytest.mark.parametrize(("n", "least"), [(2, "0.5"), (3, "0.25"), (5, "0.0625")])
def test_the_notes_say_what_so_few_replicates_cannot(n: int, least: str, said: Callable[..., Results]) -> None:
    # Of the 2^n ways to flip signs, the two extreme ones are the least that a two-sided test can count.
    notes = said({}, replicates=n).notes
    assert any(f"With {n} replicates" in note and f"below {least}." in note for note in notes)
    assert any("95% Student t interval" in note for note in notes)
    assert any("its validation score flatters it" in note for note in notes)


def test_the_notes_of_one_replicate_speak_of_no_interval(said: Callable[..., Results]) -> None:
    notes = said({}, replicates=1).notes
    assert notes[0] == "One replicate has no interval, so nothing can be told apart. Ask for 3 replicates or more."
    assert not any("Student" in note or "sign-flip" in note for note in notes)


def test_trials_that_failed_are_told_with_the_first_reason(submit: Submit, told: Told) -> None:
    sweep = submit(alpha=[0.1, 0.2], imbalance={"profile": "exponential", "ratios": [10]})
    done, other = told(sweep, {0: [0.5, 0.6, 0.7]}, alphas=[0.1, 0.2])
    failed = replace(other, attempts=(attempt("failed", reason="The training loss became nan."),))
    found = results(sweep, [done, failed]).notes[0]
    assert found == "1 of 2 trials of adaptive at exponential×10 failed, the first: The training loss became nan."
