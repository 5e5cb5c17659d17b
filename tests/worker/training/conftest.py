"""Small data sets and a plain trial for the tests of training."""

import numpy as np
import pytest
import torch

from worker.training.data import DeviceData
from worker.training.trial import TrialSpec

CPU = torch.device("cpu")


@pytest.fixture(scope="session")
def blobs() -> DeviceData:
    """Three overlapping clouds in the plane: 150 rows of pool, 60 of test, all classes in turn."""
    generator = np.random.default_rng(7)

    def cloud(count: int) -> tuple[np.ndarray, np.ndarray]:
        labels = np.arange(count) % 3
        centres = np.array([[0.0, 1.0], [1.0, 0.0], [-1.0, 0.0]])
        return (centres[labels] + generator.normal(0, 0.8, (count, 2))).astype(np.float32), labels

    train_inputs, train_labels = cloud(150)
    test_inputs, test_labels = cloud(60)
    return DeviceData(
        train_inputs=train_inputs,
        train_labels=train_labels,
        test_inputs=test_inputs,
        test_labels=test_labels,
        classes=3,
        device=CPU,
    )


@pytest.fixture(scope="session")
def images() -> DeviceData:
    """Two classes of noisy colour images of 8 by 8, one brighter than the other: 40 of pool, 20 of test."""
    generator = np.random.default_rng(8)

    def noise(count: int) -> tuple[np.ndarray, np.ndarray]:
        labels = np.arange(count) % 2
        levels = generator.integers(0, 180, (count, 3, 8, 8)) + 60 * labels[:, None, None, None]
        return levels.astype(np.uint8), labels

    train_inputs, train_labels = noise(40)
    test_inputs, test_labels = noise(20)
    return DeviceData(
        train_inputs=train_inputs,
        train_labels=train_labels,
        test_inputs=test_inputs,
        test_labels=test_labels,
        classes=2,
        device=CPU,
    )


@pytest.fixture(scope="session")
def plain() -> TrialSpec:
    """Cross-entropy on a linear model: what the tests change to what they need."""
    return TrialSpec(
        loss="cross_entropy",
        loss_params={},
        model="linear",
        model_params={},
        epochs=3,
        batch_size=16,
        optimizer="sgd",
        lr=0.1,
    )
