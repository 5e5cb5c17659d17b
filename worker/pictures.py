"""What a trial's model predicts, as files of its run; they show the median replicate, not the luckiest."""

from collections.abc import Sequence

import numpy as np
import torch

from sweep.figures import boundary_figure
from sweep.prediction_figure import Predictions, Section, predictions_figure
from sweep.predictions import PREDICTIONS

from .training.data import IGNORED, DeviceData
from .training.trainer import Training
from .training.trial import Member

_SIDE = 200
"""Points of the grid along each side."""
_MARGIN = 0.08
_HANDFUL = 4
_LOOKED_AT = 500
"""Test images that the handful is chosen from."""


def pictures(
    training: Training, position: int, *, member: Member, data: DeviceData, title: str, classes: Sequence[str],
) -> dict[str, bytes]:  # fmt: skip
    """What one member predicts, as files by name: over the plane, or for pixels; none for other data."""
    if data.train.is_dense:
        return _predictions(training, position, member=member, data=data, title=title, classes=classes)
    if data.input_shape == (2,):
        return _boundary(training, position, member=member, data=data, title=title, classes=classes)
    return {}


def _predictions(
    training: Training, position: int, *, member: Member, data: DeviceData, title: str, classes: Sequence[str],
) -> dict[str, bytes]:  # fmt: skip
    index = _handful(data)
    inputs = data.test.inputs_of(index).cpu().numpy()
    truth = data.test.targets_of(index)
    seen = Predictions(
        images=inputs,
        truth=torch.where(truth < 0, IGNORED, truth).cpu().numpy().astype(np.uint8),
        prediction=training.predict(position, inputs).astype(np.uint8),
        seed=member.seed,
    )
    columns = [(f"seed {member.seed}, the\nmedian replicate", seen)]
    picture = predictions_figure([Section("", columns)], title=title, classes=classes)
    return {PREDICTIONS: seen.as_bytes(), "predictions.png": picture}


def _handful(data: DeviceData) -> torch.Tensor:
    """The test images that show the most classes, and of those the first: the same for every trial."""
    few = torch.arange(min(len(data.test), _LOOKED_AT), device=data.device)
    shown = torch.stack([(data.test.class_counts(image[None]) > 0).sum() for image in few])
    return few[shown.argsort(descending=True, stable=True)[:_HANDFUL]].sort().values


def _boundary(
    training: Training, position: int, *, member: Member, data: DeviceData, title: str, classes: Sequence[str],
) -> dict[str, bytes]:  # fmt: skip
    index = torch.tensor(member.train_index)
    rows = data.train.inputs_of(index).cpu().numpy()
    low_2, high_2 = (
        data.train.inputs.min(0).values.cpu().numpy(),
        data.train.inputs.max(0).values.cpu().numpy(),
    )
    margin_2 = (high_2 - low_2) * _MARGIN
    (left, bottom), (right, top) = low_2 - margin_2, high_2 + margin_2
    x_WW, y_HW = np.meshgrid(np.linspace(left, right, _SIDE), np.linspace(bottom, top, _SIDE))
    grid_N2 = np.stack([x_WW.ravel(), y_HW.ravel()], axis=1).astype(np.float32)
    picture = boundary_figure(
        training.predict(position, grid_N2).reshape(_SIDE, _SIDE),
        rows,
        data.train.targets_of(index).cpu().numpy(),
        extent=(left, right, bottom, top),
        title=f"{title}, seed {member.seed}",
        classes=classes,
    )
    return {"decision_boundary.png": picture}
