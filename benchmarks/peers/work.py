"""An exported work: its numbers, and its data as datasets of PyTorch."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.utils.data import Dataset, TensorDataset


class AlphaRange(NamedTuple):
    """Where alpha is searched."""

    low: float
    high: float
    log: bool


@dataclass(frozen=True, kw_only=True)
class Work:
    """What `work.json` says."""

    dataset: str
    model: str
    model_params: dict[str, float]
    epochs: int
    batch_size: int
    optimizer: str
    lr: float
    momentum: float
    nesterov: bool
    weight_decay: float
    schedule: str
    warmup_epochs: int
    augment: bool
    classes: int
    seed: int
    alpha: AlphaRange
    trials: int
    mean: list[float] | None
    std: list[float] | None


class Flipped(Dataset[tuple[Tensor, ...]]):
    """Images and their masks, each pair turned over and mirrored at random."""

    def __init__(self, images: Tensor, masks: Tensor) -> None:
        """Images (N, channels, H, W) and masks (N, H, W)."""
        self.images, self.masks = images, masks

    def __len__(self) -> int:
        """The number of images."""
        return len(self.images)

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor]:
        """One image and its mask."""
        image, mask = self.images[index], self.masks[index]
        # As torchvision's v2 transforms would do it, in less than half their time.
        for axis in (-1, -2):
            if torch.rand(()) < 0.5:
                image, mask = image.flip(axis), mask.flip(axis)
        return image, mask


class Data(NamedTuple):
    """What is trained on, and what every epoch is judged by."""

    train: TensorDataset | Flipped
    val: TensorDataset


def read(folder: Path) -> tuple[Work, Data]:
    """The work in `folder`, its data in memory: all of it is small, so images are normalised once, not per sample."""
    fields = json.loads((folder / "work.json").read_text())
    work = Work(**fields | {"alpha": AlphaRange(**fields["alpha"])})
    if (work.optimizer, work.schedule, work.warmup_epochs) != ("adamw", "cosine", 0):
        raise ValueError(f"Expected AdamW with a cosine schedule and no warm-up, got another: {work}.")
    with np.load(folder / "data.npz") as arrays:
        train, val = (
            (_normalized(arrays[f"{part}_x"], work), torch.from_numpy(arrays[f"{part}_y"]).long())
            for part in ("train", "val")
        )
    return work, Data(Flipped(*train) if work.augment else TensorDataset(*train), TensorDataset(*val))


def _normalized(inputs: npt.NDArray[np.float32] | npt.NDArray[np.uint8], work: Work) -> Tensor:
    tensor = torch.from_numpy(inputs)
    if work.mean is None or work.std is None:
        return tensor
    mean, std = (torch.tensor(values)[:, None, None] for values in (work.mean, work.std))
    return (tensor.float() - mean) / std
