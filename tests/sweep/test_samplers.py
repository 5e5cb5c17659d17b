"""Points: known ones by seed and number alone, modelled ones by what was told before."""

from collections.abc import Callable

import numpy as np
import optuna
import pytest
from optuna.distributions import FloatDistribution

from sweep.resolve import ResolvedSweep
from sweep.samplers import known_points, pruner_for, sampler_for, suggest

Resolve = Callable[..., ResolvedSweep]
RANGE = {"low": 0.001, "high": 1.0, "log": True}
TWO = {"alpha": RANGE, "search": {"lr": {"low": 0.01, "high": 0.1}}}


def points(sweep: ResolvedSweep, size: int) -> list[dict[str, float]]:
    found = known_points(sweep.spec, sweep.spec.space(sweep.spec.loss), size)
    assert found is not None
    return found


@pytest.mark.parametrize("sampler", ["random", "qmc"])
def test_drawn_points_depend_on_seed_and_number_alone(sampler: str, resolved: Resolve) -> None:
    asked = {**TWO, "sampler": sampler, "trials": 16}
    ours = points(resolved(**asked), 16)
    assert len(ours) == 16
    np.random.default_rng().normal(size=3)
    assert points(resolved(**asked), 16) == ours
    assert points(resolved(**asked), 5) == ours[:5]
    other = points(resolved(**asked, seed=1), 16)
    assert all(one["alpha"] != another["alpha"] for one, another in zip(ours, other, strict=True))


@pytest.mark.parametrize("sampler", ["random", "qmc"])
def test_drawn_points_fill_the_ranges_and_no_more(sampler: str, resolved: Resolve) -> None:
    found = points(resolved(**TWO, sampler=sampler, trials=64), 64)
    alpha_N = np.array([point["alpha"] for point in found])
    lr_N = np.array([point["lr"] for point in found])
    assert len(set(alpha_N)) == 64
    assert alpha_N.min() >= 0.001
    assert alpha_N.max() <= 1.0
    assert lr_N.min() >= 0.01
    assert lr_N.max() <= 0.1
    # A third of the points in each decade of alpha: it is drawn by its logarithm.
    assert np.histogram(np.log10(alpha_N), bins=3, range=(-3, 0))[0] == pytest.approx([21.3] * 3, abs=12)


def test_quasi_random_points_are_more_even_than_random_ones(resolved: Resolve) -> None:
    def unevenness(sampler: str) -> float:
        found = points(resolved(alpha={"low": 0, "high": 1}, sampler=sampler, trials=32), 32)
        alpha_N = np.sort([point["alpha"] for point in found])
        return float(np.abs(alpha_N - (np.arange(32) + 0.5) / 32).max())

    assert unevenness("qmc") < 1.01 / 32 < unevenness("random")


def test_a_grid_is_its_points_in_order_without_what_is_fixed(resolved: Resolve) -> None:
    sweep = resolved(alpha=[0.3, 0.1], search={"lr": [0.1, 0.2], "weight_decay": 0.5})
    assert points(sweep, 4) == [
        {"alpha": 0.3, "lr": 0.1}, {"alpha": 0.3, "lr": 0.2}, {"alpha": 0.1, "lr": 0.1}, {"alpha": 0.1, "lr": 0.2},
    ]  # fmt: skip


def test_a_point_without_search_is_empty_whatever_the_sampler(resolved: Resolve) -> None:
    sweep = resolved(sampler="tpe", baselines=["cross_entropy"])
    assert known_points(sweep.spec, {}, 1) == [{}]


@pytest.mark.parametrize("sampler", ["tpe", "cmaes", "gp"])
def test_modelled_points_are_not_known_before(sampler: str, resolved: Resolve) -> None:
    sweep = resolved(sampler=sampler)
    assert known_points(sweep.spec, sweep.spec.space(sweep.spec.loss), 8) is None


@pytest.mark.filterwarnings("ignore::optuna.exceptions.ExperimentalWarning")
@pytest.mark.parametrize(("sampler", "trials"), [("tpe", 24), ("cmaes", 24), ("gp", 12)])
@pytest.mark.parametrize("fields", [{"alpha": RANGE}, TWO], ids=["one parameter", "two parameters"])
def test_modelled_points_come_nearer_to_the_best_ones_than_chance(
    sampler: str, trials: int, fields: dict[str, object], resolved: Resolve
) -> None:
    spec = resolved(**fields, sampler=sampler, trials=trials, seed=1).spec
    space = spec.space(spec.loss)
    study = optuna.create_study(direction="maximize")
    misses = []
    for number in range(trials):
        study.sampler = sampler_for(spec, number)
        trial = study.ask()
        point = suggest(trial, space)
        assert set(point) == set(space)
        assert 0.001 <= point["alpha"] <= 1.0
        misses.append(abs(np.log10(point["alpha"]) + 1.5))
        study.tell(trial, -misses[-1])
    assert len({trial.params["alpha"] for trial in study.trials}) > trials / 2
    # Uniform over three decades, the mean distance from their middle would be 0.75.
    assert np.mean(misses[trials // 2 :]) < 0.65


def test_a_modelled_point_depends_on_seed_number_and_what_was_told(resolved: Resolve) -> None:
    def first(number: int, seed: int) -> float:
        spec = resolved(sampler="tpe", seed=seed).spec
        study = optuna.create_study(sampler=sampler_for(spec, number))
        return suggest(study.ask(), spec.space(spec.loss))["alpha"]

    assert first(3, 0) == first(3, 0)
    assert len({first(3, 0), first(4, 0), first(3, 1)}) == 3


def test_whole_numbers_and_choices_are_suggested_as_such(resolved: Resolve) -> None:
    spec = resolved(
        alpha=[0.1, 0.2], sampler="random", trials=4, search={"batch_size": {"low": 16, "high": 64, "log": True}}
    ).spec
    for point in known_points(spec, spec.space(spec.loss), 4) or []:
        assert point["alpha"] in (0.1, 0.2)
        assert isinstance(point["batch_size"], int)


@pytest.mark.parametrize("pruner", ["median", "hyperband"])
def test_a_trial_far_behind_the_others_is_pruned_and_none_without_a_pruner(pruner: str, resolved: Resolve) -> None:
    def pruned(name: str) -> int:
        spec = resolved(pruner=name, training={"epochs": 9}, sampler="random").spec
        study = optuna.create_study(direction="maximize", pruner=pruner_for(spec, "0/adaptive"))
        ended_early = 0
        for number in range(30):
            study.enqueue_trial({}, user_attrs={"slot": number})
            trial = study.ask({"alpha": FloatDistribution(0, 1)})
            for epoch in range(1, 9):
                trial.report(1.0 - number / 30, epoch)
                if trial.should_prune():
                    ended_early += 1
                    study.tell(trial, state=optuna.trial.TrialState.PRUNED)
                    break
            else:
                study.tell(trial, 1.0 - number / 30)
        return ended_early

    assert pruned("none") == 0
    assert 5 < pruned(pruner) < 30


def test_hyperbands_brackets_follow_seed_and_slot_alone(resolved: Resolve) -> None:
    def brackets(seed: int, study_name: str, first: int) -> list[int]:
        spec = resolved(pruner="hyperband", training={"epochs": 27}, seed=seed).spec
        pruner = pruner_for(spec, "0/adaptive")
        study = optuna.create_study(study_name=study_name, pruner=pruner)
        for _ in range(first):  # attempts that were lost count in Optuna's numbers
            study.enqueue_trial({}, user_attrs={"slot": 0})
            study.ask()
        found = []
        for slot in range(12):
            study.enqueue_trial({}, user_attrs={"slot": slot})
            trial = study.ask()
            trial.report(0.5, 1)
            trial.should_prune()
            found.append(pruner._get_bracket_id(study, study.trials[-1]))  # type: ignore[attr-defined]
        return found

    assert brackets(0, "one", 0) == brackets(0, "other", 3)
    assert brackets(0, "one", 0) != brackets(1, "one", 0)
