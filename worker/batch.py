"""One batch of claims from start to end: train, record, report, tell."""

import logging
import math
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import cached_property, partial
from itertools import islice

from sweep.datasets import Dataset
from sweep.disk import shortage
from sweep.errors import EvenhandError, LateTell, Unavailable, Untold
from sweep.parts import Parts
from sweep.settings import Settings
from sweep.slots import Outcome
from sweep.store import Sweep
from sweep.studies import Claim

from .attempt import Attempt, end_attempt, keep_files, start_attempt
from .checkpoint import Checkpoints
from .members import replicates, trial_spec
from .pace import Paces
from .room import Room
from .shelf import Shelf
from .training.data import DeviceData
from .training.record import EpochRecord, Evaluation
from .training.trainer import Training
from .wishes import Interrupted, Wishes

_LOOK_EVERY_S = 1.0  # whether more of the scenario waits
_log = logging.getLogger(__name__)


class Batch:
    """Claims of one scenario of a sweep in training together; as long as it pays, those that end make room for others.

    An attempt is told once all that was seen of it is safe in MLflow; so a worker that dies at any moment leaves
    either a complete record or an attempt that is made again.
    """

    def __init__(
        self, sweep: Sweep, claims: Sequence[Claim], *, parts: Parts, settings: Settings, worker: str, paces: Paces,
        stop: threading.Event,
    ) -> None:  # fmt: skip
        """`stop` ends the batch after the epoch at hand."""
        self._sweep = sweep
        at = claims[0].plan.scenario
        self._scenario, self._plans = sweep.scenarios[at], [plan for plan in sweep.studies if plan.scenario == at]
        self._open = {claim.number: claim for claim in claims}
        self._store, self._studies, self._tracking = parts.store, parts.studies, parts.tracking
        self._settings, self._paces, self._worker, self._stop = settings, paces, worker, stop
        self._attempts: dict[int, Attempt] = {}
        self._checkpoints = Checkpoints(parts, every_s=settings.checkpoint_s)
        self._wishes = Wishes(sweep, parts, stop=stop)
        self._room: Room | None = None
        self._filled_at = 0.0

    def run(self, shelf: Shelf) -> None:
        """Brings every claim to its end; whatever goes wrong ends the claims with its reason and comes no further."""
        try:
            data, dataset = shelf.fetch(self._sweep, self._scenario)
            self._train(data, dataset)
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

    @cached_property
    def _experiment_id(self) -> str:
        found = self._sweep.experiment_id or self._tracking.experiment(self._sweep)
        if self._sweep.experiment_id is None:
            self._store.set_experiment(self._sweep.id, found)
        return found

    def _begin(self, claim: Claim, data: DeviceData, dataset: Dataset) -> None:
        sweep = self._sweep
        trial = trial_spec(sweep.spec, claim.plan, claim.params, device=data.device)
        members = replicates(trial, spec=sweep.spec, scenario=self._scenario, dataset=dataset)
        if self._room is None:
            self._room = Room.of(members, data, width=self._settings.width, paces=self._paces)
        attempt = start_attempt(
            claim, members, sweep=sweep, scenario=self._scenario, data=data, content=dataset.info.content,
            room=self._room, curve_points=self._settings.curve_points, tracking=self._tracking,
            experiment_id=self._experiment_id, worker=self._worker,
        )  # fmt: skip
        self._attempts[claim.number] = self._checkpoints.resumed(attempt)
        self._studies.note_run(claim, attempt.run_id)

    def _each(self, claim: Claim, step: Callable[[], None]) -> None:
        """Does one step of one claim; what goes wrong with it ends this claim alone, unless it concerns them all."""
        try:
            step()
        except (LateTell, Untold) as error:
            self._end(claim, "lost", str(error))
        except (Interrupted, Unavailable):
            raise
        except Exception as error:
            _log.exception("trial failed", extra=self._facts(claim) | {"action": "trial_failed"})
            self._end(claim, "failed", f"{type(error).__name__}: {error}")

    def _train(self, data: DeviceData, dataset: Dataset) -> None:
        for claim in list(self._open.values()):
            self._each(claim, partial(self._begin, claim, data, dataset))
        if not self._attempts or self._room is None:
            return
        training = Training([], data, width=self._room.width, graphs=self._settings.cuda_graphs, heed=self._wishes.heed)
        self._seat(training)
        self._wishes.heed()
        self._fill(training, self._room, data, dataset)
        while training.live:
            self._wishes.heed()
            before = dict(self._attempts)
            by_member = {record.member: record for record in training.run_epoch()}
            for attempt in list(self._attempts.values()):
                records = [by_member[position] for position in attempt.positions if position in by_member]
                self._each(attempt.claim, partial(self._take_in, attempt, records))
            self._finish_those_at_their_end(training, by_member, data=data)
            self._checkpoints.keep(self._attempts.values(), training)
            gone = before.keys() - self._attempts.keys()
            if gone:
                held = set(training.held)
                training.drop(p for number in gone for p in before[number].positions if p in held)
            if gone or time.monotonic() - self._filled_at > _LOOK_EVERY_S:
                self._fill(training, self._room, data, dataset)

    def _finish_those_at_their_end(
        self, training: Training, by_member: Mapping[int, EpochRecord], *, data: DeviceData
    ) -> None:
        epochs = self._sweep.spec.training.epochs
        ended = [a for a in self._attempts.values() if by_member[a.positions[0]].epoch == epochs]
        # At once, since a stack is tested as a whole.
        tests = iter(training.test([position for attempt in ended for position in attempt.positions]))
        for attempt in ended:
            found = list(islice(tests, len(attempt.positions)))
            self._each(attempt.claim, partial(self._finish, attempt, training, found, data=data))

    def _seat(self, training: Training) -> None:
        """Takes the attempts that are new into the training; what goes wrong with that ends these alone."""
        new = [attempt for attempt in self._attempts.values() if not attempt.positions]
        before = set(training.held)
        try:
            members = [member for attempt in new for member in attempt.members]
            positions = iter(training.join(members, [state for attempt in new for state in attempt.states]))
        except Exception as error:
            training.drop(set(training.held) - before)
            for attempt in new:
                self._end(attempt.claim, "failed", f"{type(error).__name__}: {error}")
            return
        for attempt in new:
            seats = list(islice(positions, len(attempt.members)))
            self._attempts[attempt.claim.number] = replace(attempt, positions=seats)

    def _fill(self, training: Training, room: Room, data: DeviceData, dataset: Dataset) -> None:
        """Claims more of the scenario, as far as there is room where it pays."""
        self._filled_at = time.monotonic()
        claims = self._claimed(room.trials(len(training.live), width=training.width))
        self._open |= {claim.number: claim for claim in claims}  # all of them, before anything can go wrong
        for claim in claims:
            self._each(claim, partial(self._begin, claim, data, dataset))
        self._seat(training)

    def _claimed(self, trials: int) -> list[Claim]:
        claims: list[Claim] = []
        if trials < 1 or not self._wishes.takes_more or shortage(self._settings):
            return claims
        try:
            workers = max(len(self._store.living(grace_s=self._settings.heartbeat_grace_s)), 1)
            for plan in self._plans:
                if (width := trials - len(claims)) > 0:
                    claims += self._studies.claim(
                        self._sweep, worker=self._worker, width=width, workers=workers, plan=plan
                    )
        except Exception:  # those in training go on; what was claimed in vain is queued again after the batch
            _log.warning("no further claim", exc_info=True, extra={"action": "no_claim", "sweep": self._sweep.id})
        return claims

    def _take_in(self, attempt: Attempt, records: Sequence[EpochRecord]) -> None:
        """Logs an epoch; where it was the attempt's last one before its time, that is told."""
        if len(records) < len(attempt.positions):
            raise MemoryError(
                "not even a replicate by itself fits; choose a smaller model or batch, or another machine"
            )
        spec, epoch = self._sweep.spec, records[0].epoch
        self._tracking.log(attempt.run_id, attempt.observation.add(records), step=epoch)
        failure = next((record.failure for record in records if record.failure), None)
        if failure:
            self._end(attempt.claim, "failed", failure)
        elif spec.pruner != "none" and epoch < spec.training.epochs:
            value = attempt.observation.value
            if self._studies.should_prune(attempt.claim, epoch=epoch, value=value):
                self._end(attempt.claim, "pruned", f"Pruned after epoch {epoch}: {spec.objective} {value:.4f}.")

    def _finish(self, attempt: Attempt, training: Training, tests: Sequence[Evaluation], *, data: DeviceData) -> None:
        spec = self._sweep.spec
        value = attempt.observation.value
        if not math.isfinite(value):
            self._end(attempt.claim, "failed", f"{spec.objective} is {value}: validation shows nothing to score it by.")
            return
        found, metrics = attempt.observation.finish(tests)
        self._tracking.log(attempt.run_id, {**metrics, "value": value}, step=spec.training.epochs)
        median = sorted(range(len(found)), key=lambda at: found[at]["value"])[(len(found) - 1) // 2]
        keep_files(attempt, median, training=training, data=data, sweep=self._sweep, tracking=self._tracking)
        self._tracking.flush(attempt.run_id)
        self._studies.complete(attempt.claim, value=value, replicates=found)
        del self._open[attempt.claim.number], self._attempts[attempt.claim.number]
        end_attempt(attempt, "complete", None, tracking=self._tracking)
        _log.info("trial complete", extra=self._facts(attempt.claim) | {"value": round(value, 4)})

    def _end_all(self, outcome: Outcome, reason: str) -> None:
        # First all in the queue, which others wait for and a leaving worker has seconds for; then their runs.
        told = [(claim.number, self._give_up(claim, outcome, reason)) for claim in list(self._open.values())]
        for number, as_told in told:
            self._end_run(number, as_told, reason)

    def _end(self, claim: Claim, outcome: Outcome, reason: str) -> None:
        """Ends a claim without a value, and its run with it."""
        self._end_run(claim.number, self._give_up(claim, outcome, reason), reason)

    def _give_up(self, claim: Claim, outcome: Outcome, reason: str) -> Outcome | None:
        """How the claim ended in the queue; None where it had ended before."""
        if self._open.pop(claim.number, None) is None:
            return None
        try:
            self._studies.give_up(claim, outcome=outcome, reason=reason)
        except LateTell:
            outcome = "lost"
        except Exception:  # it bears our name, and is queued again by whoever looks after this batch
            _log.warning("trial let go", exc_info=True, extra=self._facts(claim) | {"action": "trial_let_go"})
            outcome = "lost"
        _log.info("trial ended", extra=self._facts(claim) | {"outcome": outcome, "reason": reason})
        return outcome

    def _end_run(self, number: int, outcome: Outcome | None, reason: str) -> None:
        attempt = self._attempts.pop(number, None)
        if attempt is not None and outcome is not None:
            end_attempt(attempt, outcome, reason, tracking=self._tracking)

    def _facts(self, claim: Claim) -> dict[str, object]:
        return {"sweep": self._sweep.id, "trial": claim.number, "worker": self._worker}
