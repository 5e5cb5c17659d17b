"""The picture of a sweep over labels by pixel: what the best trial and every baseline predict, from their runs."""

from collections.abc import Sequence

from .errors import NotFound
from .models import MODELS
from .prediction_figure import Predictions, Section, predictions_figure
from .results import Contender, results
from .slots import Slot
from .store import Sweep
from .tracking import Tracking

PREDICTIONS = "predictions.npz"


def is_dense(sweep: Sweep) -> bool:
    """True where the sweep's labels are by pixel."""
    return "dense" in MODELS[sweep.spec.model.name].takes


def predictions_picture(sweep: Sweep, slots: Sequence[Slot], tracking: Tracking) -> bytes:
    """A PNG: by scenario the test images, their truth, and the predictions of the best trial and the baselines.

    A trial shows the replicate that is the median of its scores on validation.

    Raises:
        NotFound: if labels are not by pixel, or no trial is complete.
    """
    if not is_dense(sweep):
        raise NotFound(f"Sweep {sweep.id} has one label a sample; there are no predicted pixels to show.")
    runs = {slot.number: slot.last.run_id for slot in slots if slot.last and slot.last.run_id}
    sections = []
    for scenario in results(sweep, slots).scenarios:
        contenders = [*([scenario.best] if scenario.best else []), *scenario.baselines]
        columns = [
            (_label(contender), Predictions.from_bytes(tracking.artifact(runs[contender.trial], PREDICTIONS)))
            for contender in contenders
        ]
        if columns:
            sections.append(Section(f"{scenario.profile}, ratio {scenario.ratio:.4g}", columns))
    if not sections:
        raise NotFound(f"No trial of sweep {sweep.id} is complete yet.")
    title = f"{sweep.name}: each trial's median replicate by {sweep.spec.objective} on validation; test images"
    return predictions_figure(sections, title=title, classes=sweep.dataset.classes)


def _label(contender: Contender) -> str:
    params = {name: value for name, value in contender.params.items() if value or name == "alpha"}
    shown = [f"{k}={v:.3g}" if isinstance(v, int | float) else f"{k}={v}" for k, v in params.items()]
    return "\n".join([contender.loss.replace("_", " "), *shown])
