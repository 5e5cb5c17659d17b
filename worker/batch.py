"""One batch of claims from start to end: train, record, report, tell."""

import logging
import math
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import accumulate

from sweep.datasets import Dataset
from sweep.errors import EvenhandError, LateTell, Unavailable
from sweep.slots import Outcome
from sweep.store import Store, Sweep
from sweep.studies import Claim, Studies
from sweep.tracking import RUN_STATUSES, Tracking

from .members import replicates, trial_spec
from .observation import Observation
from .pictures import pictures
from .run_record import run_name, run_params, run_tags
from .shelf import Shelf
from .training.data import DeviceData
from .training.record import EpochRecord
from .training.trainer import Training
from .training.trial import Member

_LOOK_EVERY_S = 1.0
"""How often a training looks whether its sweep was cancelled."""
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempt:
    """A claim in training, observed by the run `run_id`."""

    claim: Claim
    members: Sequence[Member]
    observation: Observation
    run_id: str


class Interrupted(Exception):
    """Raised inside a batch that is to end now: the worker leaves, or the sweep was cancelled."""

    def __init__(self, outcome: Outcome, reason: str) -> None:
        """`outcome` and `reason` are told of every attempt that is still in training."""
        self.outcome: Outcome = outcome
        self.reason = reason
        super().__init__(reason)


class Batch:
    """Claims of one study of a sweep in training together.

    An attempt is told once all that was seen of it is safe in MLflow; so a worker that dies at any moment leaves
    either a complete record or an attempt that is made again.
    """

    def __init__(
        self, sweep: Sweep, claims: Sequence[Claim], *, store: Store, studies: Studies, tracking: Tracking, worker: str,
        stop: threading.Event,
    ) -> None:  # fmt: skip
        """`stop` ends the batch after the epoch at hand."""
        self._sweep = sweep
        self._scenario = sweep.scenarios[claims[0].plan.scenario]
        self._open = {claim.number: claim for claim in claims}
        self._store, self._studies, self._tracking = store, studies, tracking
        self._worker, self._stop = worker, stop
        self._attempts: dict[int, Attempt] = {}
        self._looked_at = 0.0

    def run(self, shelf: Shelf) -> None:
        """Brings every claim to its end; whatever goes wrong ends the claims with its reason and comes no further."""
        try:
            data, dataset = shelf.fetch(self._sweep, self._scenario)
            self._start(data, dataset)
            self._train(data)
        except Interrupted as interruption:
            self._end_all(interruption.outcome, interruption.reason)
        except Unavailable as error:
            self._end_all("stopped" if self._stop.is_set() else "lost", str(error))
        except EvenhandError as error:
            self._end_all("failed", str(error))
        except Exception as error:  # one trial's misfortune, whatever it is, never costs the worker
            _log.exception("batch failed", extra={"action": "batch_failed", "sweep": self._sweep.id})
            self._end_all("failed", f"{type(error).__name__}: {error}")

    def abandon(self, reason: str) -> None:
        """Queues again what is still in training, from another thread: for a worker that cannot wait any longer."""
        self._end_all("stopped", reason)

    def _start(self, data: DeviceData, dataset: Dataset) -> None:
        sweep = self._sweep
        experiment_id = sweep.experiment_id or self._tracking.experiment(sweep)
        if sweep.experiment_id is None:
            self._store.set_experiment(sweep.id, experiment_id)
        for claim in list(self._open.values()):
            self._each(claim, partial(self._begin, claim, data, dataset=dataset, experiment_id=experiment_id))

    def _begin(self, claim: Claim, data: DeviceData, *, dataset: Dataset, experiment_id: str) -> None:
        sweep = self._sweep
        trial = trial_spec(sweep.spec, claim.plan, claim.params, device=data.device)
        members = replicates(trial, spec=sweep.spec, scenario=self._scenario, dataset=dataset)
        name = run_name(claim, self._scenario, trial)
        run_id = self._tracking.start(
            experiment_id,
            name=name,
            params=run_params(sweep, self._scenario, members, data, content=dataset.info.content),
            tags=run_tags(sweep, claim, worker=self._worker),
        )
        self._attempts[claim.number] = Attempt(
            claim=claim,
            members=members,
            observation=Observation(
                title=f"{sweep.spec.dataset.name}: {name}",
                classes=sweep.dataset.classes,
                counts=self._scenario.counts,
                seeds=[member.seed for member in members],
                objective=sweep.spec.objective,
                is_dense=data.train.is_dense,
            ),
            run_id=run_id,
        )
        self._studies.note_run(claim, run_id)

    def _each(self, claim: Claim, step: Callable[[], None]) -> None:
        """Does one step of one claim; what goes wrong with it ends this claim alone, unless it concerns them all."""
        try:
            step()
        except LateTell as late:
            self._end(claim, "lost", str(late))
        except (Interrupted, Unavailable):
            raise
        except Exception as error:
            _log.exception("trial failed", extra=self._facts(claim) | {"action": "trial_failed"})
            self._end(claim, "failed", f"{type(error).__name__}: {error}")

    def _train(self, data: DeviceData) -> None:
        attempts = list(self._attempts.values())
        ends = accumulate(len(attempt.members) for attempt in attempts)
        positions = {
            attempt.claim.number: range(end - len(attempt.members), end)
            for attempt, end in zip(attempts, ends, strict=True)
        }
        training = Training([member for attempt in attempts for member in attempt.members], data)
        while training.live:
            self._heed_wishes()
            by_member = {record.member: record for record in training.run_epoch()}
            for number, attempt in list(self._attempts.items()):
                records = [by_member[position] for position in positions[number]]
                self._each(attempt.claim, partial(self._take_in, attempt, records))
                if number not in self._attempts:
                    training.drop(record.member for record in records if not record.failure)
        for number, attempt in list(self._attempts.items()):
            self._each(attempt.claim, partial(self._finish, attempt, training, positions[number], data=data))

    def _heed_wishes(self) -> None:
        if self._stop.is_set():
            raise Interrupted("stopped", "The worker was asked to leave; the trial is tried again.")
        if time.monotonic() - self._looked_at > _LOOK_EVERY_S:
            self._looked_at = time.monotonic()
            if self._store.wanted(self._sweep.id) == "cancel":
                raise Interrupted("cancelled", "The sweep was cancelled.")

    def _take_in(self, attempt: Attempt, records: Sequence[EpochRecord]) -> None:
        """Logs an epoch; where it was the attempt's last one before its time, that is told."""
        spec, epoch = self._sweep.spec, records[0].epoch
        self._tracking.log(attempt.run_id, attempt.observation.add(records), step=epoch)
        failure = next((record.failure for record in records if record.failure), None)
        if failure:
            self._end(attempt.claim, "failed", failure)
        elif spec.pruner != "none" and epoch < spec.training.epochs:
            value = attempt.observation.value
            if self._studies.should_prune(attempt.claim, epoch=epoch, value=value):
                self._end(attempt.claim, "pruned", f"Pruned after epoch {epoch}: {spec.objective} {value:.4f}.")

    def _finish(self, attempt: Attempt, training: Training, positions: range, *, data: DeviceData) -> None:
        spec = self._sweep.spec
        value = attempt.observation.value
        if not math.isfinite(value):
            self._end(attempt.claim, "failed", f"{spec.objective} is {value}: validation shows nothing to score it by.")
            return
        found, metrics = attempt.observation.finish(training.test(positions))
        self._tracking.log(attempt.run_id, {**metrics, "value": value}, step=spec.training.epochs)
        median = sorted(range(len(found)), key=lambda at: found[at]["value"])[(len(found) - 1) // 2]
        files = pictures(
            training, positions[median], member=attempt.members[median], data=data,
            title=attempt.observation.title, classes=self._sweep.dataset.classes,
        )  # fmt: skip
        self._tracking.add_artifacts(attempt.run_id, attempt.observation.artifacts() | files)
        self._tracking.flush(attempt.run_id)
        del self._open[attempt.claim.number], self._attempts[attempt.claim.number]
        try:
            self._studies.complete(attempt.claim, value=value, replicates=found)
        except LateTell as late:
            self._tracking.end(attempt.run_id, "KILLED", reason=str(late))
            return
        self._tracking.end(attempt.run_id, "FINISHED")
        _log.info("trial complete", extra=self._facts(attempt.claim) | {"value": round(value, 4)})

    def _end_all(self, outcome: Outcome, reason: str) -> None:
        for claim in list(self._open.values()):
            self._end(claim, outcome, reason)

    def _end(self, claim: Claim, outcome: Outcome, reason: str) -> None:
        """Ends a claim without a value, and its run with it."""
        del self._open[claim.number]
        attempt = self._attempts.pop(claim.number, None)
        try:
            self._studies.give_up(claim, outcome=outcome, reason=reason)
        except LateTell:
            outcome = "lost"
        _log.info("trial ended", extra=self._facts(claim) | {"outcome": outcome, "reason": reason})
        if attempt is not None:
            self._end_run(attempt, outcome, reason)

    def _end_run(self, attempt: Attempt, outcome: Outcome, reason: str) -> None:
        run_id = attempt.run_id
        try:
            if outcome in ("failed", "pruned") and attempt.observation.has_epochs:
                self._tracking.add_artifacts(run_id, attempt.observation.artifacts())
            self._tracking.flush(run_id)
            self._tracking.end(run_id, RUN_STATUSES[outcome], reason=reason)
        except Exception as error:  # the trial is told, and the reconciler ends the run once MLflow is back
            _log.warning("run left open", extra={"action": "run_left_open", "run": run_id, "reason": str(error)})

    def _facts(self, claim: Claim) -> dict[str, object]:
        return {"sweep": self._sweep.id, "trial": claim.number, "worker": self._worker}
