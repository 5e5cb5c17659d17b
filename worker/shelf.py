"""The data set that was used last, kept on the device for the next trial."""

import torch

from sweep.datasets import Dataset, Datasets
from sweep.errors import DatasetError
from sweep.plan import Scenario
from sweep.store import Sweep

from .training.data import DeviceData


class Shelf:
    """One data set on the device; another one takes its place."""

    _held: tuple[tuple[object, ...], DeviceData, Dataset] | None

    def __init__(self, datasets: Datasets, device: torch.device) -> None:
        """Empty until the first trial."""
        self._datasets, self._device = datasets, device
        self._held = None

    def fetch(self, sweep: Sweep, scenario: Scenario) -> tuple[DeviceData, Dataset]:
        """The scenario's data on the device, and the same memory-mapped on the host.

        Raises:
            DatasetError: if the files are not those that the sweep was submitted over.
        """
        choice = sweep.spec.dataset
        info = self._datasets.info(choice.name, options=choice.params)
        if info.content != sweep.dataset.content:
            raise DatasetError(
                "its files have changed since the sweep was submitted. Put them back, or submit the sweep anew.",
                dataset=choice.name,
            )
        key = (info.name, info.content, scenario.drawn if info.is_made_to_order else None)
        if self._held is None or self._held[0] != key:
            self._held = None  # the memory of the old one is needed for the new one
            dataset = self._datasets.load(choice.name, options=choice.params, counts=scenario.drawn)
            self._held = key, self._on_device(dataset), dataset
        return self._held[1:]

    def _on_device(self, dataset: Dataset) -> DeviceData:
        return DeviceData(
            train_inputs=dataset.train_inputs,
            train_labels=dataset.train_labels,
            test_inputs=dataset.test_inputs,
            test_labels=dataset.test_labels,
            classes=len(dataset.info.classes),
            device=self._device,
        )
