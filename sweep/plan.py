"""The plan of a sweep: its scenarios, its studies, and the slots that are numbered 0…n-1 through all of them."""

from dataclasses import dataclass

from .choices import LossChoice
from .losses import LOSSES
from .space import Space, grid_size, is_searched
from .spec import MAX_REPLICATES, SweepSpec


@dataclass(frozen=True, slots=True, kw_only=True)
class Scenario:
    """A data set at one profile and ratio: the condition an experiment is run under."""

    profile: str
    ratio: float
    counts: tuple[int, ...]
    """Training samples by class, in label order; where labels are dense, training pixels, the mean over replicates."""
    drawn: tuple[int, ...]
    """Samples by class that are drawn from the pool: the training ones, and those that a stratified holdout shares."""

    @property
    def title(self) -> str:
        """The scenario as people read it in names and tables, such as `exponential×50`."""
        return f"{self.profile}×{self.ratio:g}"


@dataclass(frozen=True, slots=True, kw_only=True)
class StudyPlan:
    """One study: a scenario under a loss, with the numbers of its slots in the sweep."""

    scenario: int
    """Position among the sweep's scenarios."""
    loss: LossChoice
    space: Space
    numbers: range

    @property
    def key(self) -> str:
        """The study's name within its sweep."""
        return f"{self.scenario}/{self.loss.name}"


def studies(spec: SweepSpec, scenarios: int) -> tuple[StudyPlan, ...]:
    """The studies of a resolved sweep, scenario by scenario, the swept loss before the baselines."""
    plans: list[StudyPlan] = []
    start = 0
    for scenario in range(scenarios):
        for loss in spec.losses:
            space = spec.space(loss)
            size = study_size(spec, loss)
            plans.append(StudyPlan(scenario=scenario, loss=loss, space=space, numbers=range(start, start + size)))
            start += size
    return tuple(plans)


def study_size(spec: SweepSpec, loss: LossChoice) -> int:
    """How many trials a study of `loss` has: a baseline gets as many as the swept loss where it searches, else one."""
    assert spec.trials is not None and spec.sampler is not None, "the sweep is resolved"
    if loss is spec.loss:
        return spec.trials
    space = spec.space(loss)
    if not any(map(is_searched, space.values())):
        return 1
    return grid_size(space) if spec.sampler == "grid" else spec.trials


def total_trials(spec: SweepSpec, scenarios: int) -> int:
    """How many trials the sweep has in all."""
    return scenarios * sum(study_size(spec, loss) for loss in spec.losses)


def replicate_seeds(spec: SweepSpec) -> range:
    """The seeds of a trial's replicates; sweeps of other seeds share none of them."""
    first = MAX_REPLICATES * spec.seed
    return range(first, first + spec.replicates)


def fixed_params(loss: LossChoice, space: Space) -> dict[str, float | str]:
    """The loss's own parameters before anything is suggested: defaults of its row, then what the sweep fixes."""
    row = LOSSES[loss.name]
    defaults: dict[str, float | str] = {parameter.name: parameter.default for parameter in row.parameters}
    defaults |= {option.name: option.default for option in row.options}
    fixed = {name: value for name, value in space.items() if isinstance(value, (int, float))}
    return {**defaults, **loss.params, **fixed}
