"""A work as plain files, for scripts that know nothing of Evenhand: `data.npz` and `work.json` in one folder.

python -m benchmarks.export WORK DATA_DIR FOLDER
"""

import argparse
import json
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from sweep.space import Range

from .works import WORKS, Prepared

_FIELDS = (
    "model", "epochs", "batch_size", "optimizer", "lr", "momentum", "nesterov", "weight_decay", "schedule",
    "warmup_epochs", "augment",
)  # fmt: skip
"""What `work.json` takes from the trial as it stands there."""


def export(prepared: Prepared, folder: Path) -> None:
    """Writes the rows and the numbers of replicate 0.

    `data.npz` has `train_x`, `train_y`, `val_x`, `val_y`, `test_x` and `test_y`: images uint8 (N, channels, H, W),
    vectors float32 (N, F). `mean` and `std` of `work.json` are those of each channel of the whole pool, on the scale
    of the bytes, by which `DeviceData` normalises images; null for vectors, which are taken as they are.
    """
    spec = prepared.resolved.spec
    assert isinstance(spec.alpha, Range), "a work searches alpha"
    member = prepared.members(spec.alpha.low)[0]
    data = prepared.dataset
    mean, std = _scale(data.train_inputs.astype(np.uint8, copy=False)) if prepared.data.is_image else (None, None)
    work = {
        "dataset": prepared.work.dataset,
        "model_params": dict(member.trial.model_params),
        **{name: getattr(member.trial, name) for name in _FIELDS},
        "classes": prepared.data.classes,
        "seed": member.seed,
        "alpha": {"low": spec.alpha.low, "high": spec.alpha.high, "log": spec.alpha.log},
        "trials": spec.trials,
        "mean": mean,
        "std": std,
    }
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "work.json").write_text(json.dumps(work, indent=2) + "\n")
    np.savez(
        folder / "data.npz",
        train_x=data.train_inputs[member.train_index],
        train_y=data.train_labels[member.train_index],
        val_x=data.train_inputs[member.validation_index],
        val_y=data.train_labels[member.validation_index],
        test_x=data.test_inputs,
        test_y=data.test_labels,
    )


def _scale(images: NDArray[np.uint8]) -> tuple[list[float], list[float]]:
    mean_C = images.mean(axis=(0, 2, 3), dtype=np.float64)
    std_C = images.std(axis=(0, 2, 3), dtype=np.float64)
    return mean_C.tolist(), np.where(std_C > 0, std_C, 1.0).tolist()


def main() -> None:
    """Exports one of `WORKS`."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("work", choices=WORKS)
    parser.add_argument("data_dir", type=Path)
    parser.add_argument("folder", type=Path)
    arguments = parser.parse_args()
    export(Prepared(WORKS[arguments.work], arguments.data_dir), arguments.folder)


if __name__ == "__main__":
    main()
