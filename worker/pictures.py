"""What a trial's model predicts, as files of its run; they show the median replicate, not the luckiest."""

from collections.abc import Callable, Sequence
from functools import partial

import numpy as np
import torch
from numpy.typing import NDArray

from sweep.boundary_figure import boundary_figure
from sweep.prediction_figure import Predictions, Section, predictions_figure
from sweep.predictions import PREDICTIONS

from .training.data import IGNORED, DeviceData
from .training.trainer import Training
from .training.trial import Member

_SIDE, _STRIDE = 200, 4
"""Points of the grid along each side, and every which is looked at first."""
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
    picture = boundary_figure(
        _regions(partial(training.predict, position), (left, right, bottom, top)),
        rows,
        data.train.targets_of(index).cpu().numpy(),
        extent=(left, right, bottom, top),
        title=f"{title}, seed {member.seed}",
        classes=classes,
    )
    return {"decision_boundary.png": picture}


def _regions(
    predict: Callable[[NDArray[np.float32]], NDArray[np.int64]], extent: tuple[float, float, float, float]
) -> NDArray[np.int64]:
    """The class at the middle of every cell of a grid over the plane, (_SIDE, _SIDE), from the lower left.

    Every fourth is predicted first, each way; what lies between four of them is of their class where they agree.
    """
    left, right, bottom, top = extent
    middle_S = (np.arange(_SIDE + 1) + 0.5) / _SIDE  # one beyond the far edges, to have the last ones between four
    x_HW, y_HW = np.meshgrid(left + (right - left) * middle_S, bottom + (top - bottom) * middle_S)
    points_HW2: NDArray[np.float32] = np.stack([x_HW, y_HW], axis=-1).astype(np.float32)
    rough_HW2 = points_HW2[::_STRIDE, ::_STRIDE]
    rough_HW = predict(rough_HW2.reshape(-1, 2)).reshape(rough_HW2.shape[:2])
    corners_4HW = np.stack([rough_HW[:-1, :-1], rough_HW[1:, :-1], rough_HW[:-1, 1:], rough_HW[1:, 1:]])
    is_mixed_HW = (corners_4HW != corners_4HW[0]).any(axis=0)
    labels_HW: NDArray[np.int64] = corners_4HW[0].repeat(_STRIDE, axis=0).repeat(_STRIDE, axis=1)
    is_open_HW = is_mixed_HW.repeat(_STRIDE, axis=0).repeat(_STRIDE, axis=1)
    if is_open_HW.any():
        labels_HW[is_open_HW] = predict(points_HW2[:-1, :-1][is_open_HW])
    return labels_HW
