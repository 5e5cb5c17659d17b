"""What is observed, in MLflow: an experiment a sweep, a flat run an attempt. The only module that imports mlflow."""

import io
import logging
import tempfile
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Literal, TypeVar

import pandas as pd
from mlflow import MlflowClient
from mlflow.entities import Metric, Param, Run, RunTag
from mlflow.exceptions import MlflowException, RestException
from tenacity import (
    RetryCallState,
    Retrying,
    retry_if_exception,
    sleep_using_event,
    stop_when_event_set,
    wait_exponential,
)

from .errors import NotFound, Unavailable
from .slots import Outcome
from .store import Sweep

RunStatus = Literal["FINISHED", "FAILED", "KILLED"]
RUN_STATUSES: Mapping[Outcome | None, RunStatus] = {
    "complete": "FINISHED",
    "pruned": "FINISHED",
    "failed": "FAILED",
    "cancelled": "KILLED",
    "stopped": "KILLED",
    "lost": "KILLED",
}
"""How a run ends, by how its attempt did."""
TRAJECTORY = "trajectory.parquet"
SWEEP_TAG, TRIAL_TAG, REASON_TAG, RESULTS_TAG, NOTE_TAG = (
    "evenhand.sweep",
    "evenhand.trial",
    "evenhand.reason",
    "evenhand.results",
    "mlflow.note.content",
)
SUMMARY = "summary"
"""What the summary run carries as its trial tag."""

_PASSING = frozenset({"INTERNAL_ERROR", "TEMPORARILY_UNAVAILABLE", "REQUEST_LIMIT_EXCEEDED"})
"""MLflow's error codes of a server that is away or busy, as opposed to a request that it will never take."""

_MAX_POINTS = 1_000
"""MLflow takes no more metrics in a call."""

_LONGEST_PAUSE_S = 10.0
"""Between two tries while MLflow is away."""

_T = TypeVar("_T")
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Point:
    """One value of one metric."""

    key: str
    value: float
    step: int
    timestamp_ms: int


class Tracking:
    """Runs of sweeps on an MLflow server.

    Every call insists until the server answers or `stop` is set; with `stop` set from the start it tries once.

    Raises:
        Unavailable: where it gave up.
    """

    def __init__(self, uri: str, *, stop: threading.Event) -> None:
        """Connects with the first call."""
        self._uri, self._client = uri, MlflowClient(tracking_uri=uri)
        self._stop = stop
        self._is_away = False

    def experiment(self, sweep: Sweep) -> str:
        """The id of the sweep's experiment, made where it is missing."""
        name = f"{sweep.name} {sweep.id}"
        note = f"Sweep {sweep.id} over {sweep.spec.dataset.name} with {sweep.spec.loss.name}. One run a trial."
        tags = {SWEEP_TAG: sweep.id, NOTE_TAG: note, "mlflow.experimentKind": "custom_model_development"}

        def find_or_make() -> str:
            found = self._client.get_experiment_by_name(name)
            return str(found.experiment_id) if found else self._client.create_experiment(name, tags=tags)

        try:
            return self._insist(find_or_make)
        except MlflowException:  # another worker made it between the two calls
            return self._insist(find_or_make)

    def start(self, experiment_id: str, *, name: str, params: Mapping[str, object], tags: Mapping[str, str]) -> str:
        """The id of a new run, RUNNING, with its parameters."""
        run = self._insist(lambda: self._client.create_run(experiment_id, run_name=name, tags=dict(tags)))
        run_id = str(run.info.run_id)
        listed = [Param(key, str(value)) for key, value in params.items()]
        self._insist(lambda: self._client.log_batch(run_id, params=listed))
        return run_id

    def send(self, run_id: str, points: Sequence[Point]) -> None:
        """Returns once the points are safe on the server; one that is sent twice is there once, by its timestamp.

        MLflow's own asynchronous logging loses the last batch when a process ends.
        """
        for start in range(0, len(points), _MAX_POINTS):
            metrics = [Metric(p.key, p.value, p.timestamp_ms, p.step) for p in points[start : start + _MAX_POINTS]]
            self._insist(partial(self._client.log_batch, run_id, metrics=metrics))

    def add_artifacts(self, run_id: str, artifacts: Mapping[str, bytes]) -> None:
        """Keeps files with the run, by name."""
        with tempfile.TemporaryDirectory() as folder:
            for name, content in artifacts.items():
                Path(folder, name).write_bytes(content)
            self._insist(lambda: self._client.log_artifacts(run_id, folder))

    def end(self, run_id: str, status: RunStatus, *, reason: str | None = None) -> None:
        """Ends a run; with the reason where it did not end well, unless it has ended already."""
        if reason:
            if self._insist(lambda: self._client.get_run(run_id)).info.status != "RUNNING":
                return
            tags = [RunTag(REASON_TAG, reason[:5_000]), RunTag(NOTE_TAG, reason[:5_000])]
            self._insist(lambda: self._client.log_batch(run_id, tags=tags))
        self._insist(lambda: self._client.set_terminated(run_id, status))

    def running(self, experiment_id: str) -> list[str]:
        """The ids of the experiment's runs that have not ended."""
        found = self._search(experiment_id, "attributes.status = 'RUNNING'")
        return [str(run.info.run_id) for run in found]

    def summaries(self, experiment_id: str) -> dict[str, str]:
        """The experiment's finished summary runs, none or one: which results each is of, by the run's id."""
        found = self._search(experiment_id, f"tags.`{TRIAL_TAG}` = '{SUMMARY}' and attributes.status = 'FINISHED'")
        return {str(run.info.run_id): run.data.tags.get(RESULTS_TAG, "") for run in found}

    def delete(self, run_id: str) -> None:
        """Deletes a run, as MLflow does it: it can be restored there."""
        self._insist(lambda: self._client.delete_run(run_id))

    def artifact(self, run_id: str, name: str) -> bytes:
        """A file that a run keeps.

        Raises:
            NotFound: if it keeps none of that name.
        """
        with tempfile.TemporaryDirectory() as folder:
            try:
                path = self._insist(lambda: self._client.download_artifacts(run_id, name, folder))
            except (MlflowException, OSError) as error:
                raise NotFound(f"The trial's run keeps no {name} (it did not end well).") from error
            return Path(path).read_bytes()

    def trajectory(self, run_id: str) -> pd.DataFrame:
        """The importance of every replicate after every step, as the run keeps it; raises as `artifact` does."""
        return pd.read_parquet(io.BytesIO(self.artifact(run_id, TRAJECTORY)))

    def ping(self) -> None:
        """Raises Unavailable where MLflow does not answer."""
        self._insist(lambda: self._client.search_experiments(max_results=1))

    def _search(self, experiment_id: str, query: str) -> Sequence[Run]:
        return self._insist(lambda: self._client.search_runs([experiment_id], query, max_results=10_000))

    def _say(self, retrying: RetryCallState) -> None:
        """Once an outage: that MLflow does not answer, and where."""
        if not self._is_away:
            self._is_away = True
            reason = str(retrying.outcome.exception()) if retrying.outcome else ""
            _log.warning("mlflow away", extra={"action": "mlflow_away", "url": self._uri, "reason": reason})

    def _insist(self, call: Callable[[], _T]) -> _T:
        retrying = Retrying(
            retry=retry_if_exception(_is_passing),
            stop=stop_when_event_set(self._stop),
            wait=wait_exponential(multiplier=0.5, max=_LONGEST_PAUSE_S),
            sleep=sleep_using_event(self._stop),
            before_sleep=self._say,
            reraise=True,
        )
        try:
            answer = retrying(call)
            self._is_away = False
            return answer
        except MlflowException as error:
            if _is_passing(error):
                raise Unavailable("MLflow does not answer. Look whether its server runs, then try again.") from error
            raise


def _is_passing(error: BaseException) -> bool:
    if not isinstance(error, MlflowException):
        return False
    # MLflow's own refusals are JSON; another answer, whatever its status, is of a proxy that does not reach it.
    return error.error_code in _PASSING or (not isinstance(error, RestException) and "with error code" in str(error))
