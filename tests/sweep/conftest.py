"""Sweeps that nobody trained: results made of given numbers, and the figures that are drawn of them."""

from collections.abc import Callable, Sequence

import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from sweep import boundary_figure, classes_figure
from sweep.slots import Attempt, Outcome, Replicate, Slot
from sweep.store import Sweep

Told = Callable[..., list[Slot]]


def replicates(values: Sequence[float], test: Sequence[float] | None = None) -> list[Replicate]:
    """Replicates under the seeds 0, 1, … with these balanced accuracies on validation and test."""
    return [
        Replicate(seed=seed, value=value, validation={"balanced_accuracy": value}, test={"balanced_accuracy": tested})
        for seed, (value, tested) in enumerate(zip(values, test or values, strict=True))
    ]


def attempt(outcome: Outcome | None = None, *, waits: bool = False, **fields: object) -> Attempt:
    """An attempt that ended as said, or that waits or runs."""
    known: dict[str, object] = {
        "trial_id": 0, "worker": "ann", "started_at": None, "ended_at": None, "reason": None, "params": {},
        "value": None, "replicates": [], "run_id": None,
    }  # fmt: skip
    return Attempt(waits=waits, outcome=outcome, **{**known, **fields})  # type: ignore[arg-type]


@pytest.fixture
def told() -> Told:
    """The slots of a sweep, the replicates of each by its number; the rest waits."""

    def tell(
        sweep: Sweep,
        scores: dict[int, Sequence[float]],
        *,
        tests: dict[int, Sequence[float]] | None = None,
        alphas: Sequence[float] = (),
    ) -> list[Slot]:
        slots = []
        for plan in sweep.studies:
            for index, number in enumerate(plan.numbers):
                tried: tuple[Attempt, ...] = ()
                if number in scores:
                    values = scores[number]
                    point = {"alpha": alphas[index]} if plan.loss.name == "adaptive" else {}
                    mean = sum(values) / len(values)
                    seen = replicates(values, (tests or {}).get(number))
                    tried = (attempt("complete", params=point, value=mean, replicates=seen),)
                slots.append(Slot(number=number, plan=plan, attempts=tried, max_retry=2, is_wanted=True))
        return slots

    return tell


@pytest.fixture
def drawn(monkeypatch: pytest.MonkeyPatch) -> list[Figure]:
    """Every figure that is drawn, as matplotlib has it; one whose backdrop serves another time is there once."""
    figures: list[Figure] = []
    draw = FigureCanvasAgg.draw

    def keep(canvas: FigureCanvasAgg) -> None:
        figures.append(canvas.figure)
        draw(canvas)  # type: ignore[no-untyped-call]

    monkeypatch.setattr(FigureCanvasAgg, "draw", keep)
    classes_figure.frame.cache_clear()
    boundary_figure.plane.cache_clear()
    return figures
