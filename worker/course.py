"""The course of a trial: its metrics by epoch, all of them in a file, and of the curves by class fewer in MLflow."""

import io
from collections.abc import Mapping

import numpy as np
import pandas as pd

COURSE = "epochs.parquet"
_BY_CLASS = ("importance/", "val/recall/", "val/iou/")


class Course:
    """Metrics by epoch; curves by class, which are most of the points, are for MLflow of some epochs only."""

    def __init__(self, *, epochs: int, points: int, objective: str) -> None:
        """Of `epochs` at most `points` are chosen, evenly, the first and the last among them.

        `objective` is the key of a metric that MLflow gets of every epoch, whatever it is called.
        """
        self._chosen = frozenset(np.linspace(1, epochs, min(points, epochs)).round().astype(int).tolist())
        self.objective = objective
        self._rows: list[Mapping[str, float]] = []
        self._left_out: dict[str, float] = {}

    def add(self, epoch: int, metrics: Mapping[str, float]) -> dict[str, float]:
        """Takes an epoch's metrics; answers those that MLflow gets."""
        self._rows.append({"epoch": epoch, **metrics})
        self._left_out = {} if epoch in self._chosen else {k: v for k, v in metrics.items() if self._is_by_class(k)}
        return {key: value for key, value in metrics.items() if key not in self._left_out}

    @property
    def rows(self) -> list[dict[str, float]]:
        """Every epoch's metrics, with the `epoch` itself."""
        return [dict(row) for row in self._rows]

    @property
    def left_out(self) -> tuple[int, Mapping[str, float]]:
        """The last epoch, and what MLflow did not get of it: it should where no other epoch follows."""
        return int(self._rows[-1]["epoch"]), self._left_out

    def file(self) -> dict[str, bytes]:
        """All of it as Parquet, by the file's name: a row an epoch, a column a metric."""
        buffer = io.BytesIO()
        pd.DataFrame(self._rows).to_parquet(buffer, index=False, compression="zstd")
        return {COURSE: buffer.getvalue()}

    def _is_by_class(self, key: str) -> bool:
        return key.startswith(_BY_CLASS) and key != self.objective
