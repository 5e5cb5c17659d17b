"""The decision boundary of a trial on two-dimensional data; it shows the median replicate, not the luckiest."""

from collections.abc import Sequence

import numpy as np

from sweep.figures import boundary_figure

from .training.data import DeviceData
from .training.trainer import Training
from .training.trial import Member

_SIDE = 200
"""Points of the grid along each side."""
_MARGIN = 0.08


def boundary_picture(
    training: Training, position: int, *, member: Member, data: DeviceData, title: str, classes: Sequence[str],
) -> dict[str, bytes]:  # fmt: skip
    """What one member predicts over the plane, as a file by name; none where inputs are not points of a plane."""
    if data.input_shape != (2,):
        return {}
    rows = data.train_inputs[member.train_index].cpu().numpy()
    low_2, high_2 = (
        data.train_inputs.min(0).values.cpu().numpy(),
        data.train_inputs.max(0).values.cpu().numpy(),
    )
    margin_2 = (high_2 - low_2) * _MARGIN
    (left, bottom), (right, top) = low_2 - margin_2, high_2 + margin_2
    x_WW, y_HW = np.meshgrid(np.linspace(left, right, _SIDE), np.linspace(bottom, top, _SIDE))
    grid_N2 = np.stack([x_WW.ravel(), y_HW.ravel()], axis=1).astype(np.float32)
    picture = boundary_figure(
        training.predict(position, grid_N2).reshape(_SIDE, _SIDE),
        rows,
        data.train_labels[member.train_index].cpu().numpy(),
        extent=(left, right, bottom, top),
        title=f"{title}, seed {member.seed}",
        classes=classes,
    )
    return {"decision_boundary.png": picture}
