"""The queue on both databases: laid once, each slot with its point, and claimed once (see test_attempts)."""

from collections.abc import Callable, Sequence

import optuna
import pytest

from sweep.errors import DatabaseAway
from sweep.plan import StudyPlan
from sweep.slots import Slot
from sweep.store import Sweep
from sweep.studies import Studies

from ..slots import last

Submit = Callable[..., Sweep]

ONE_RATIO = {"profile": "exponential", "ratios": [10]}


def points(slots: Sequence[Slot]) -> list[tuple[int, str, dict[str, float]]]:
    return [(slot.number, slot.plan.key, dict(last(slot).params)) for slot in slots]


def test_a_sweep_that_is_not_laid_yet_waits_whole(studies: Studies, submit: Submit) -> None:
    sweep = submit(trials=3, baselines=["focal"])
    slots = studies.slots(sweep)
    assert [(slot.number, slot.state, slot.attempts) for slot in slots] == [(n, "waiting", ()) for n in range(8)]
    assert studies.claim(sweep, worker="ann", width=1) == []


def test_laying_twice_lays_once(studies: Studies, laid: Submit) -> None:
    sweep = laid(sampler="random", trials=5, baselines=["focal", "cross_entropy"])
    before = points(studies.slots(sweep))
    studies.lay(sweep, studies.slots(sweep))
    slots = studies.slots(sweep)
    assert points(slots) == before
    assert [(slot.number, len(slot.attempts)) for slot in slots] == [(number, 1) for number in range(7)]


def test_a_half_laid_sweep_is_completed_with_the_points_it_would_have_had(studies: Studies, submit: Submit) -> None:
    whole, half = (submit(sampler="qmc", trials=6, imbalance=ONE_RATIO) for _ in range(2))
    studies.lay(whole, studies.slots(whole))
    expected = points(studies.slots(whole))
    study = optuna.create_study(
        study_name=f"{half.id}/0/adaptive", storage=studies._trials._storage, direction="maximize"
    )
    for number in (0, 1, 4):
        study.enqueue_trial(expected[number][2], user_attrs={"slot": number})
    studies.lay(half, studies.slots(half))
    assert points(studies.slots(half)) == expected


def test_the_points_of_a_grid_are_its_own_in_every_scenario(studies: Studies, submit: Submit) -> None:
    sweep = submit(alpha=[0.3, 0.1])
    studies.lay(sweep, studies.slots(sweep))
    assert points(studies.slots(sweep)) == [
        (0, "0/adaptive", {"alpha": 0.3}), (1, "0/adaptive", {"alpha": 0.1}),
        (2, "1/adaptive", {"alpha": 0.3}), (3, "1/adaptive", {"alpha": 0.1}),
    ]  # fmt: skip
    assert [claim.params for claim in studies.claim(sweep, worker="ann", width=9)] == [{"alpha": 0.3}, {"alpha": 0.1}]


@pytest.mark.filterwarnings("ignore::optuna.exceptions.ExperimentalWarning")
@pytest.mark.parametrize("sampler", ["tpe", "random", "qmc", "cmaes"])
@pytest.mark.parametrize("search", [{}, {"lr": {"low": 0.01, "high": 0.1, "log": True}}])
def test_a_study_has_as_many_trials_as_asked_each_with_its_own_point(
    sampler: str, search: dict[str, object], studies: Studies, laid: Submit
) -> None:
    sweep = laid(sampler=sampler, trials=9, search=search)
    told = []
    while claims := studies.claim(sweep, worker="ann", width=2):
        for claim in claims:
            told.append(claim.number)
            studies.complete(claim, value=-abs(claim.params["alpha"] - 0.1), replicates=[])
    assert told == list(range(9))
    slots = studies.slots(sweep)
    assert [(slot.state, len(slot.attempts)) for slot in slots] == [("complete", 1)] * 9
    assert len({last(slot).params["alpha"] for slot in slots}) == 9
    assert all(last(slot).params.keys() == {"alpha", *search} for slot in slots)


def test_claims_are_of_one_study_in_order_and_no_more_than_asked(studies: Studies, laid: Submit) -> None:
    sweep = laid(trials=3, baselines=["focal"], sampler="random")
    assert [claim.number for claim in studies.claim(sweep, worker="ann", width=2)] == [0, 1]
    assert [claim.number for claim in studies.claim(sweep, worker="bob", width=5)] == [2]
    (baseline,) = studies.claim(sweep, worker="bob", width=5)
    assert (baseline.number, baseline.plan.loss.name, baseline.params) == (3, "focal", {})
    assert studies.claim(sweep, worker="ann", width=1) == []
    attempts = [last(slot) for slot in studies.slots(sweep)]
    assert [attempt.worker for attempt in attempts] == ["ann", "ann", "bob", "bob"]
    assert all(attempt.started_at and not attempt.ended_at and attempt.outcome is None for attempt in attempts)


def test_workers_share_what_waits_and_runs_in_a_study(studies: Studies, laid: Submit) -> None:
    sweep = laid(trials=7, baselines=["focal"], sampler="random", imbalance=ONE_RATIO)
    adaptive, focal = sweep.studies

    def claimed(worker: str, plan: StudyPlan, width: int = 99, held: int = 0) -> list[int]:
        claims = studies.claim(sweep, worker=worker, width=width, held=held, workers=2, plan=plan)
        return [claim.number for claim in claims]

    assert claimed("ann", adaptive) == [0, 1, 2, 3]
    assert claimed("ann", adaptive, held=4) == []  # she has her half
    assert claimed("bob", adaptive, width=2) == [4, 5]
    assert claimed("bob", adaptive, held=4) == []
    assert claimed("ann", adaptive, held=1) == [6]  # three of hers are trained, and are told when MLflow is back
    assert claimed("bob", focal, width=0) == []
    assert claimed("bob", focal) == [7]


@pytest.mark.parametrize(("sampler", "trials", "at_once"), [("tpe", 5, 2), ("tpe", 60, 15), ("random", 60, 60)])
def test_a_sampler_that_models_gets_a_quarter_of_its_trials_at_a_time(
    sampler: str, trials: int, at_once: int, studies: Studies, laid: Submit
) -> None:
    sweep = laid(trials=trials, sampler=sampler, imbalance=ONE_RATIO)
    first = studies.claim(sweep, worker="ann", width=99)
    assert len(first) == at_once
    assert len(studies.claim(sweep, worker="bob", width=99)) == 0
    for claim in first[:2]:
        studies.complete(claim, value=0.5, replicates=[])
    assert len(studies.claim(sweep, worker="bob", width=99)) == (2 if sampler == "tpe" else 0)


def test_workers_share_what_a_sampler_lets_be_in_training(studies: Studies, laid: Submit) -> None:
    sweep = laid(trials=40, sampler="tpe", imbalance=ONE_RATIO)
    assert [len(studies.claim(sweep, worker=name, width=99, workers=2)) for name in ("ann", "bob", "ann")] == [5, 5, 0]


def test_a_baselines_grid_is_not_held_up_by_the_swept_loss(studies: Studies, laid: Submit) -> None:
    gammas = [0.5, 1.0, 2.0, 3.0]
    sweep = laid(alpha=0.1, baselines=["focal"], search={"gamma": gammas}, imbalance=ONE_RATIO)
    assert len(studies.claim(sweep, worker="ann", width=99, plan=sweep.studies[1])) == len(gammas)


def test_an_epoch_that_the_database_does_not_take_is_not_the_trials_failure(
    studies: Studies, laid: Submit, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object, **__: object) -> None:
        raise optuna.exceptions.StorageInternalError("unable to open database file")

    (claim,) = studies.claim(laid(trials=1, pruner="median"), worker="ann", width=1)
    monkeypatch.setattr(optuna.Trial, "report", broken)
    with pytest.raises(DatabaseAway, match="did not take epoch 1 of trial 0"):
        studies.should_prune(claim, epoch=1, value=0.5)
