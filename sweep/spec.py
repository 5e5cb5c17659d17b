"""SweepSpec: a sweep as submitted, every field with its default and its bounds."""

from typing import Annotated, Literal, Self

from pydantic import Field, field_validator, model_validator

from .choices import DatasetChoice, LossChoice, ModelChoice
from .imbalance import Profile
from .losses import LOSSES
from .space import Range, Searchable, Space, parameter_for
from .strict import Strict, refusal

DEFAULT_ALPHA = Range(low=0.001, high=1.0, log=True)

MAX_REPLICATES = 100
OBJECTIVES = ("balanced_accuracy", "worst_recall", "macro_f1", "mean_iou")
CLASS_OBJECTIVES = ("recall", "iou")
"""With a class's name behind a slash: `recall/cat`."""
Sampler = Literal["tpe", "random", "grid", "qmc", "cmaes", "gp"]
Pruner = Literal["none", "median", "hyperband"]
ClassName = Annotated[str, Field(min_length=1, max_length=200)]


class Imbalance(Strict):
    """How class counts fall, and at which ratios (largest over smallest count); each ratio is a scenario."""

    profile: Profile
    ratios: Annotated[list[Annotated[float, Field(ge=1, le=1e6)]], Field(min_length=1, max_length=50)] | None = None
    n_max: Annotated[int, Field(ge=1)] | None = None
    """Samples of the largest class; default: what the smallest class of the data has."""
    minority: Annotated[float, Field(gt=0, lt=1)] = 0.5
    """Share of small classes in the step profile (Buda et al. 2018, mu)."""
    counts: dict[ClassName, Annotated[int, Field(ge=1)]] | None = None
    """Samples by class name, for the counts profile."""

    @model_validator(mode="after")
    def _fits_profile(self) -> Self:
        if self.profile in ("natural", "counts"):
            if self.ratios is not None:
                raise refusal(f"profile {self.profile} has the ratio of its counts.", "no ratios with this profile")
        elif self.ratios is None:
            raise refusal(f"profile {self.profile} needs ratios.", 'ratios, such as "ratios": [1, 10, 100]')
        elif len(set(self.ratios)) < len(self.ratios):
            raise refusal(f"ratios {self.ratios} repeat.", "each ratio once")
        if (self.counts is not None) != (self.profile == "counts"):
            raise refusal(
                f"profile {self.profile} {'needs' if self.counts is None else 'takes no'} counts.",
                "counts by class name with profile counts, and only there",
            )
        if self.n_max is not None and self.profile in ("natural", "counts"):
            raise refusal(f"profile {self.profile} takes no n_max.", "n_max with exponential, step or linear only")
        return self


class Training(Strict):
    """How every trial is trained; what is searched is named in `search` instead."""

    epochs: Annotated[int, Field(ge=1, le=10_000)] = 30
    batch_size: Annotated[int, Field(ge=2, le=65_536)] | None = None
    optimizer: Literal["sgd", "adamw"] = "adamw"
    lr: Annotated[float, Field(gt=0, le=10)] | None = None
    momentum: Annotated[float, Field(ge=0, lt=1)] = 0.9
    nesterov: bool = True
    weight_decay: Annotated[float, Field(ge=0, le=1)] | None = None
    schedule: Literal["constant", "step", "cosine"] = "cosine"
    warmup_epochs: Annotated[int, Field(ge=0, le=1_000)] = 0
    augment: bool | None = None
    precision: Literal["auto", "float32", "tf32", "bfloat16"] = "auto"

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.nesterov and self.optimizer == "sgd" and self.momentum == 0:
            raise refusal("Nesterov needs momentum, got momentum 0.", "momentum above 0, or nesterov false")
        if self.warmup_epochs > self.epochs:
            raise refusal(
                f"warmup_epochs {self.warmup_epochs} exceed epochs {self.epochs}.",
                "a warm-up within the epochs",
            )
        return self


class Validation(Strict):
    """How validation samples are set apart from training; the test set is never touched."""

    scheme: Literal["balanced_holdout", "stratified_holdout"] = "balanced_holdout"
    per_class: Annotated[int, Field(ge=1)] | None = None
    fraction: Annotated[float, Field(gt=0, le=0.5)] = 0.2

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.per_class is not None and self.scheme == "stratified_holdout":
            raise refusal("a stratified holdout takes a fraction of every class.", "fraction, or a balanced holdout")
        return self


class SweepSpec(Strict):
    """Scenarios x losses x a search space: what `POST /v1/sweeps` takes."""

    dataset: DatasetChoice
    imbalance: Imbalance
    name: Annotated[str, Field(min_length=1, max_length=120, pattern=r"^[^\x00-\x1f\x7f]*$")] | None = None
    loss: LossChoice = LossChoice(name="adaptive")
    alpha: Searchable | None = None
    baselines: Annotated[list[LossChoice], Field(max_length=20)] = []
    model: ModelChoice = ModelChoice(name="auto")
    training: Training = Training()
    search: dict[str, Searchable] = {}
    trials: Annotated[int, Field(ge=1, le=10_000)] | None = None
    sampler: Sampler | None = None
    pruner: Pruner = "none"
    replicates: Annotated[int, Field(ge=1, le=MAX_REPLICATES)] = 3
    seed: Annotated[int, Field(ge=0, lt=2**31)] = 0
    objective: Annotated[str, Field(max_length=220)] = "balanced_accuracy"
    class_order: Literal["label", "reversed", "shuffled"] | list[ClassName] = "label"
    validation: Validation = Validation()

    @field_validator("alpha")
    @classmethod
    def _alpha_within_bounds(cls, value: float | list[float] | Range | None) -> float | list[float] | Range | None:
        if value is not None:
            _check_searchable("alpha", value, "adaptive")
        return value

    @field_validator("objective")
    @classmethod
    def _objective_is_a_score(cls, value: str) -> str:
        if value not in OBJECTIVES and value.partition("/")[0] not in CLASS_OBJECTIVES:
            raise refusal(
                f"no objective is called {value!r}.", f"one of {', '.join(OBJECTIVES)}, or recall/CLASS, iou/CLASS"
            )
        return value

    @model_validator(mode="after")
    def _losses_and_search_agree(self) -> Self:
        names = [self.loss.name, *(baseline.name for baseline in self.baselines)]
        repeated = sorted({name for name in names if names.count(name) > 1})
        if repeated:
            raise refusal(
                f"{', '.join(repeated)} stands twice among loss and baselines.", "each loss once", "baselines"
            )
        if self.alpha is not None and not LOSSES[self.loss.name].has_importance:
            raise refusal(f"{self.loss.name} has no alpha.", "alpha only with a loss that has an importance", "alpha")
        for name, value in self.search.items():
            takers = [loss for loss in names if name != "alpha" and parameter_for(name, loss)]
            if not takers:
                raise refusal(
                    f"none of {', '.join(names)} takes a parameter {name!r}.",
                    "lr, weight_decay, momentum, batch_size or a parameter of these losses (alpha has its own field)",
                    "search",
                    name,
                )
            _check_searchable(name, value, takers[0], "search", name)
        return self

    def space(self, loss: LossChoice) -> Space:
        """What a study of `loss` may vary or fixes by `alpha` and `search`; a baseline's holds no alpha."""
        row = LOSSES[loss.name]
        alpha = {"alpha": DEFAULT_ALPHA if self.alpha is None else self.alpha} if row.has_importance else {}
        return {
            **alpha,
            **{name: value for name, value in self.search.items() if parameter_for(name, loss.name)},
        }

    @property
    def losses(self) -> tuple[LossChoice, ...]:
        """The swept loss, then the baselines."""
        return (self.loss, *self.baselines)


def _check_searchable(name: str, value: float | list[float] | Range, loss: str, *field: str) -> None:
    parameter = parameter_for(name, loss)
    assert parameter is not None
    ends = [value.low, value.high] if isinstance(value, Range) else value if isinstance(value, list) else [value]
    for end in ends:
        if not parameter.admits(end):
            raise refusal(f"{name} {end:g} is out of bounds.", parameter.bounds, *field)
    if isinstance(value, list) and len(set(value)) < len(value):
        raise refusal(f"{name} lists a value twice.", "each value once", *field)
