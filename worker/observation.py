"""What is seen of one trial: metrics by epoch, and at its end the trajectory, the pictures and the scores."""

import io
from collections.abc import Iterable, Sequence

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from sweep.figures import ClassCurves, importance_figure
from sweep.metric_keys import class_keys, per_class
from sweep.slots import Replicate
from sweep.tracking import TRAJECTORY

from .training.metrics import recall, scores
from .training.record import EpochRecord, Evaluation


class Observation:
    """The records of one trial's replicates, epoch by epoch."""

    def __init__(self, *, title: str, classes: Sequence[str], counts: Sequence[int], seeds: Sequence[int]) -> None:
        """`title` heads the pictures; `counts` are the training samples by class."""
        self.title = title
        self._classes, self._counts, self._seeds = classes, counts, seeds
        self._keys = class_keys(classes)
        self._epochs: list[list[EpochRecord]] = []

    def add(self, records: Sequence[EpochRecord]) -> dict[str, float]:
        """Takes the records of one epoch, one a replicate by seed; answers its metrics, means over the replicates."""
        self._epochs.append(list(records))
        metrics = {
            "train/loss": _mean(record.train_loss for record in records),
            "train/mean_weight": _mean(record.mean_weight for record in records),
            "train/effective_lr": _mean(record.lr * record.mean_weight for record in records),
            **_averaged([self._scores("val", record.validation) for record in records]),
        }
        importance_RC = [record.importance_SC[-1] for record in records if record.importance_SC is not None]
        if importance_RC:
            metrics |= per_class("importance", np.mean(importance_RC, axis=0), self._keys)
        return metrics

    @property
    def has_epochs(self) -> bool:
        """True once there is something to draw."""
        return bool(self._epochs)

    def value(self, objective: str) -> float:
        """The objective on validation after the last epoch, the mean over the replicates."""
        return _mean(scores(record.validation.confusion_CC)[objective] for record in self._epochs[-1])

    def finish(self, tests: Sequence[Evaluation], *, objective: str) -> tuple[list[Replicate], dict[str, float]]:
        """The scores of every replicate, validation after the last epoch and test; and the test metrics' means."""
        replicates = [
            Replicate(
                seed=seed,
                value=scores(record.validation.confusion_CC)[objective],
                validation=self._scores("", record.validation),
                test=self._scores("", test),
            )
            for seed, record, test in zip(self._seeds, self._epochs[-1], tests, strict=True)
        ]
        return replicates, _averaged([self._scores("test", test) for test in tests])

    def artifacts(self) -> dict[str, bytes]:
        """The picture of all classes and, where the loss has an importance, the trajectory as Parquet."""
        recall_ESC = np.array([[recall(r.validation.confusion_CC) for r in records] for records in self._epochs])
        recalls = ClassCurves(np.arange(1.0, len(self._epochs) + 1), recall_ESC.transpose(1, 0, 2))
        importance_RSC = self._importance()
        curves = None
        if importance_RSC is not None:
            curves = ClassCurves(np.arange(1.0, importance_RSC.shape[1] + 1), importance_RSC)
        picture = importance_figure(curves, recalls, title=self.title, classes=self._classes, counts=self._counts)
        trajectory = {} if importance_RSC is None else {TRAJECTORY: self._trajectory(importance_RSC)}
        return {"classes.png": picture, **trajectory}

    def _scores(self, part: str, evaluation: Evaluation) -> dict[str, float]:
        prefix = f"{part}/" if part else ""
        found = {f"{prefix}{name}": score for name, score in scores(evaluation.confusion_CC).items()}
        return {
            **found,
            f"{prefix}nll": evaluation.nll,
            **per_class(f"{prefix}recall", recall(evaluation.confusion_CC), self._keys),
        }

    def _importance(self) -> NDArray[np.float32] | None:
        by_replicate = [
            [record.importance_SC for record in records if record.importance_SC is not None]
            for records in zip(*self._epochs, strict=True)
        ]
        return np.array([np.concatenate(parts) for parts in by_replicate]) if by_replicate[0] else None

    def _trajectory(self, importance_RSC: NDArray[np.float32]) -> bytes:
        steps = [records[0].steps for records in self._epochs]
        epoch_S = np.repeat(np.arange(1, len(steps) + 1), steps)
        frames = [
            pd.DataFrame(importance_SC, columns=[f"importance/{key}" for key in self._keys]).assign(
                replicate=replicate, seed=seed, epoch=epoch_S, step=np.arange(1, len(epoch_S) + 1)
            )
            for replicate, (seed, importance_SC) in enumerate(zip(self._seeds, importance_RSC, strict=True))
        ]
        table = pd.concat(frames)[["replicate", "seed", "epoch", "step", *frames[0].columns[: len(self._keys)]]]
        buffer = io.BytesIO()
        table.to_parquet(buffer, index=False, compression="zstd")
        return buffer.getvalue()


def _mean(values: Iterable[float]) -> float:
    return float(np.mean(list(values)))


def _averaged(scores_R: Sequence[dict[str, float]]) -> dict[str, float]:
    return {name: _mean(score[name] for score in scores_R if name in score) for name in scores_R[0]}
