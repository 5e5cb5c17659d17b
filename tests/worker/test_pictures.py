"""The decision boundary: of points in a plane, by one member, over all of the pool and a margin."""

import io

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image

from worker.pictures import pictures
from worker.training.data import DeviceData
from worker.training.trainer import Training
from worker.training.trial import Member, TrialSpec

TRIAL = TrialSpec(
    loss="cross_entropy", loss_params={}, model="linear", model_params={}, epochs=1, batch_size=4, optimizer="sgd",
    lr=1.0,
)  # fmt: skip


def trained(features: int) -> tuple[Training, Member, DeviceData]:
    """A trained linear member on two clouds, one left and one right of 0."""
    labels = np.arange(40) % 2
    inputs = np.random.default_rng(0).normal(0, 0.2, (40, features)).astype(np.float32)
    inputs[:, 0] += 4 * labels - 2
    data = DeviceData(
        train_inputs=inputs, train_labels=labels, test_inputs=inputs, test_labels=labels, classes=2,
        device=torch.device("cpu"),
    )  # fmt: skip
    member = Member(TRIAL, 1, np.arange(30), np.arange(30, 40))
    training = Training([member], data)
    training.run_epoch()
    return training, member, data


def files_of(features: int) -> dict[str, bytes]:
    training, member, data = trained(features)
    return pictures(training, 0, member=member, data=data, title="clouds", classes=["left", "right"])


def test_few_points_are_predicted_and_the_regions_are_those_of_all(monkeypatch: pytest.MonkeyPatch) -> None:
    training, member, data = trained(2)
    seen: list[tuple[NDArray[np.int64], tuple[float, float, float, float]]] = []
    asked: list[int] = []
    predict = training.predict

    def counted(position: int, inputs: NDArray[np.float32]) -> NDArray[np.int64]:
        asked.append(len(inputs))
        return predict(position, inputs)

    def kept(
        labels_HW: NDArray[np.int64], *_: object, extent: tuple[float, float, float, float], **__: object
    ) -> bytes:
        seen.append((labels_HW, extent))
        return b""

    monkeypatch.setattr(training, "predict", counted)
    monkeypatch.setattr("worker.pictures.boundary_figure", kept)
    pictures(training, 0, member=member, data=data, title="clouds", classes=["left", "right"])
    ((labels_HW, (left, right, bottom, top)),) = seen
    height, width = labels_HW.shape
    assert sum(asked) < height * width / 4
    x_HW, y_HW = np.meshgrid(
        left + (np.arange(width) + 0.5) * (right - left) / width,
        bottom + (np.arange(height) + 0.5) * (top - bottom) / height,
    )
    every_N2 = np.stack([x_HW.ravel(), y_HW.ravel()], axis=1).astype(np.float32)
    assert set(labels_HW.ravel()) == {0, 1}
    np.testing.assert_array_equal(labels_HW.ravel(), predict(0, every_N2))


def test_two_dimensional_inputs_give_a_picture_of_both_regions() -> None:
    files = files_of(2)
    assert set(files) == {"decision_boundary.png"}
    image = np.asarray(Image.open(io.BytesIO(files["decision_boundary.png"])).convert("RGB")).astype(int)
    height, width, _ = image.shape
    # Both regions are far from the points at these places; blue is the first class, orange the second.
    left, right = image[height // 2 + 60, width // 4], image[height // 2 + 60, 3 * width // 4]
    assert left[2] > left[0]
    assert right[0] > right[2]


@pytest.mark.parametrize("features", [1, 3])
def test_other_inputs_give_none(features: int) -> None:
    assert files_of(features) == {}
