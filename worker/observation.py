"""What is seen of one trial: metrics by epoch, and at its end the trajectory, the pictures and the scores."""

import io
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray

from sweep.classes_figure import ClassCurves, classes_figure
from sweep.metric_keys import class_keys, per_class
from sweep.slots import Replicate
from sweep.tracking import TRAJECTORY

from .course import Course
from .training.metrics import iou, mean_iou, recall, scores
from .training.record import EpochRecord, Evaluation

Kept = Mapping[str, Any]
"""What an observation keeps for whoever goes on from it."""


class Observation:
    """The records of one trial's replicates, epoch by epoch."""

    def __init__(
        self, *, title: str, classes: Sequence[str], counts: Sequence[int], seeds: Sequence[int], objective: str,
        is_dense: bool, epochs: int, curve_points: int,
    ) -> None:  # fmt: skip
        """`title` heads the pictures; `counts` are the training samples by class; dense labels have IoU too.

        Of `epochs` MLflow gets at most `curve_points` in the curve of each class.
        """
        self.title = title
        self._objective, self._is_dense, self._epochs = objective, is_dense, epochs
        self._classes, self._counts, self._seeds = classes, counts, seeds
        self._keys = class_keys(classes)
        kind, _, name = objective.partition("/")
        key = f"val/{kind}/{self._keys[classes.index(name)]}" if name else f"val/{objective}"
        self._course = Course(epochs=epochs, points=curve_points, objective=key)
        # Of an epoch only what is drawn is kept: a matrix of thousands of classes is large.
        self._last: Sequence[EpochRecord] = ()
        self._recalls: list[NDArray[np.float64]] = []
        self._importances: list[list[NDArray[np.float32]]] = []
        self._pace: list[tuple[float, float]] = []

    def add(self, records: Sequence[EpochRecord]) -> dict[str, float]:
        """Takes the records of one epoch, one a replicate by seed; answers those of its metrics
        that MLflow gets, means over the replicates."""
        weight = _mean(record.mean_weight for record in records)
        effective_lr = _mean(record.lr * record.mean_weight for record in records)
        self._last = list(records)
        self._recalls.append(np.array([recall(record.validation.confusion_CC) for record in records]))
        importances = [record.importance_SC for record in records if record.importance_SC is not None]
        self._importances.append([np.ascontiguousarray(one_SC) for one_SC in importances])  # no view of its neighbours'
        self._pace.append((weight, effective_lr))
        metrics = {
            "train/loss": _mean(record.train_loss for record in records),
            "train/mean_weight": weight,
            "train/effective_lr": effective_lr,
            **_averaged([self._scores("val", record.validation) for record in records]),
        }
        if self._importances[-1]:
            last_RC = [importance_SC[-1] for importance_SC in self._importances[-1]]
            metrics |= per_class("importance", np.mean(last_RC, axis=0), self._keys)
        return self._course.add(records[0].epoch, metrics)

    def kept(self) -> Kept:
        """All that was seen, in tensors, numbers and texts."""
        return {
            "recalls": [torch.from_numpy(recall_RC) for recall_RC in self._recalls],
            "importances": [[torch.from_numpy(one) for one in epoch] for epoch in self._importances],
            "pace": self._pace,
            "course": self._course.rows,
        }

    def resume(self, kept: Kept) -> list[tuple[int, Mapping[str, float], float]]:
        """Goes on from what was kept: every epoch, those of its metrics that MLflow gets, and the objective.

        Raises KeyError and such where another version kept it, and is as it was then.
        """
        recalls = [recall_RC.numpy() for recall_RC in kept["recalls"]]
        importances = [[one.numpy() for one in epoch] for epoch in kept["importances"]]
        pace = [(weight, rate) for weight, rate in kept["pace"]]
        rows = [(int(row.pop("epoch")), row, row[self._course.objective]) for row in map(dict, kept["course"])]
        self._recalls, self._importances, self._pace = recalls, importances, pace
        return [(epoch, self._course.add(epoch, row), value) for epoch, row, value in rows]

    @property
    def left_out(self) -> tuple[int, Mapping[str, float]]:
        """The last epoch, and what MLflow did not get of it."""
        return self._course.left_out

    @property
    def has_epochs(self) -> bool:
        """True once there is something to draw."""
        return bool(self._recalls)

    @property
    def value(self) -> float:
        """The objective on validation after the last epoch, the mean over the replicates."""
        return _mean(self._scores("", record.validation)[self._objective] for record in self._last)

    def finish(self, tests: Sequence[Evaluation]) -> tuple[list[Replicate], dict[str, float]]:
        """The scores of every replicate, validation after the last epoch and test; and the test metrics' means."""
        replicates = [
            Replicate(
                seed=seed,
                value=self._scores("", record.validation)[self._objective],
                validation=self._scores("", record.validation),
                test=self._scores("", test),
            )
            for seed, record, test in zip(self._seeds, self._last, tests, strict=True)
        ]
        return replicates, _averaged([self._scores("test", test) for test in tests])

    def artifacts(self) -> dict[str, bytes]:
        """All metrics by epoch, the picture of all classes and, where the loss has an importance, the trajectory."""
        recalls = ClassCurves(np.arange(1.0, len(self._recalls) + 1), np.stack(self._recalls, axis=1))
        importance_RSC = self._importance()
        curves = None
        if importance_RSC is not None:
            curves = ClassCurves(np.arange(1.0, importance_RSC.shape[1] + 1), importance_RSC)
        picture = classes_figure(
            curves, recalls, self._pace, epochs=self._epochs, title=self.title, classes=self._classes,
            counts=self._counts,
        )  # fmt: skip
        trajectory = {} if importance_RSC is None else {TRAJECTORY: self._trajectory(importance_RSC)}
        return {"classes.png": picture, **self._course.file(), **trajectory}

    def _scores(self, part: str, evaluation: Evaluation) -> dict[str, float]:
        prefix = f"{part}/" if part else ""
        confusion_CC = evaluation.confusion_CC
        by_class = {"recall": recall(confusion_CC)} | ({"iou": iou(confusion_CC)} if self._is_dense else {})
        found = scores(confusion_CC) | ({"mean_iou": mean_iou(confusion_CC)} if self._is_dense else {})
        kind, _, name = self._objective.partition("/")
        if name:
            index = self._classes.index(name)
            # In MLflow under a name that it takes.
            found[f"{kind}/{self._keys[index]}" if part else self._objective] = float(by_class[kind][index])
        return {
            **{f"{prefix}{name}": score for name, score in found.items()},
            f"{prefix}nll": evaluation.nll,
            **{
                key: score
                for kind, values_C in by_class.items()
                for key, score in per_class(f"{prefix}{kind}", values_C, self._keys).items()
            },
        }

    def _importance(self) -> NDArray[np.float32] | None:
        if not self._importances[0]:
            return None
        return np.array([np.concatenate(epochs) for epochs in zip(*self._importances, strict=True)])

    def _trajectory(self, importance_RSC: NDArray[np.float32]) -> bytes:
        steps = [len(replicates[0]) for replicates in self._importances]
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
