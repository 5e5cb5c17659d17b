"""The data set that was used last, kept on the device for the next trial."""

import numpy as np
import torch
from numpy.typing import NDArray

from sweep.datasets import Datasets
from sweep.errors import DatasetError
from sweep.store import Sweep

from .training.data import DeviceData


class Shelf:
    """One data set on the device; another one takes its place."""

    def __init__(self, datasets: Datasets, device: torch.device) -> None:
        """Empty until the first trial."""
        self._datasets, self._device = datasets, device
        self._held: tuple[str, str, DeviceData, NDArray[np.int64]] | None = None

    def fetch(self, sweep: Sweep) -> tuple[DeviceData, NDArray[np.int64]]:
        """The sweep's data on the device, and the labels of its training pool on the host.

        Raises:
            DatasetError: if the files are not those that the sweep was submitted over.
        """
        name, content = sweep.spec.dataset, sweep.dataset.content
        if self._held is None or self._held[:2] != (name, content):
            self._held = None  # the memory of the old one is needed for the new one
            self._held = (name, content, *self._load(name, content))
        return self._held[2], self._held[3]

    def _load(self, name: str, content: str) -> tuple[DeviceData, NDArray[np.int64]]:
        dataset = self._datasets.load(name)
        if dataset.info.content != content:
            raise DatasetError(
                "its files have changed since the sweep was submitted. Put them back, or submit the sweep anew.",
                dataset=name,
            )
        data = DeviceData(
            train_inputs=dataset.train_inputs,
            train_labels=dataset.train_labels,
            test_inputs=dataset.test_inputs,
            test_labels=dataset.test_labels,
            classes=len(dataset.info.classes),
            device=self._device,
        )
        return data, np.asarray(dataset.train_labels)
