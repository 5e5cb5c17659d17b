"""The plan: which studies there are, and how slots are numbered through them."""

from collections.abc import Callable

from sweep.choices import LossChoice
from sweep.plan import fixed_params, replicate_seeds, studies, total_trials
from sweep.resolve import ResolvedSweep

Resolve = Callable[..., ResolvedSweep]


def sizes(sweep: ResolvedSweep) -> list[tuple[int, str, int]]:
    plans = studies(sweep.spec, len(sweep.scenarios))
    assert [number for plan in plans for number in plan.numbers] == list(range(sum(len(p.numbers) for p in plans)))
    assert total_trials(sweep.spec, len(sweep.scenarios)) == sum(len(plan.numbers) for plan in plans)
    return [(plan.scenario, plan.loss.name, len(plan.numbers)) for plan in plans]


def test_slots_run_through_scenarios_and_losses_and_a_baseline_without_search_has_one(resolved: Resolve) -> None:
    assert sizes(resolved(trials=4, baselines=["cross_entropy", "focal"])) == [
        (0, "adaptive", 4), (0, "cross_entropy", 1), (0, "focal", 1),
        (1, "adaptive", 4), (1, "cross_entropy", 1), (1, "focal", 1),
    ]  # fmt: skip


def test_a_baseline_gets_as_many_trials_where_it_has_something_to_search(resolved: Resolve) -> None:
    one_ratio = {"profile": "exponential", "ratios": [10]}
    searched = {"lr": {"low": 0.001, "high": 0.1, "log": True}}
    found = sizes(resolved(imbalance=one_ratio, trials=5, baselines=["cross_entropy", "focal"], search=searched))
    assert found == [(0, "adaptive", 5), (0, "cross_entropy", 5), (0, "focal", 5)]
    own = sizes(resolved(imbalance=one_ratio, trials=5, baselines=["cross_entropy", "focal"], search={"gamma": [1, 2]}))
    assert own == [(0, "adaptive", 5), (0, "cross_entropy", 1), (0, "focal", 5)]


def test_in_a_grid_a_baseline_has_the_grid_of_what_it_takes(resolved: Resolve) -> None:
    found = sizes(
        resolved(
            imbalance={"profile": "exponential", "ratios": [10]},
            alpha=[0.1, 0.2, 0.3],
            baselines=["cross_entropy", "focal"],
            search={"lr": [0.1, 0.2], "gamma": [1, 2, 3, 4]},
        )
    )
    assert found == [(0, "adaptive", 6), (0, "cross_entropy", 2), (0, "focal", 8)]


def test_sweeps_of_other_seeds_share_no_replicate(resolved: Resolve) -> None:
    assert list(replicate_seeds(resolved(seed=0, replicates=3).spec)) == [0, 1, 2]
    assert list(replicate_seeds(resolved(seed=1, replicates=2).spec)) == [100, 101]


def test_defaults_give_way_to_the_losss_own_numbers_and_these_to_what_the_sweep_fixes() -> None:
    assert fixed_params(LossChoice(name="focal"), {"lr": [0.1, 0.2]}) == {"gamma": 2.0}
    assert fixed_params(LossChoice(name="focal", params={"gamma": 1.0}), {"lr": 0.1}) == {"gamma": 1.0, "lr": 0.1}
    assert fixed_params(LossChoice(name="focal", params={"gamma": 1.0}), {"gamma": 3.0}) == {"gamma": 3.0}
    assert fixed_params(LossChoice(name="weighted"), {}) == {"reduction": "mean"}
