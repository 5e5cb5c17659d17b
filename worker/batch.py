"""One batch of claims from start to end: train, record, report, tell."""

import logging
import math
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from itertools import islice

from sweep.datasets import Dataset
from sweep.disk import shortage
from sweep.errors import EvenhandError, LateTell, Unavailable
from sweep.parts import Parts
from sweep.samplers import learns
from sweep.settings import Settings
from sweep.slots import Outcome
from sweep.store import Sweep
from sweep.studies import Claim

from .attempt import Attempt, Crowded, outcome_of, start_attempt
from .checkpoint import Checkpoints
from .courier import Courier
from .journal import Journal, Record
from .members import replicates, trial_spec
from .pace import Paces
from .room import Room
from .shelf import Shelf
from .stall import Stall
from .training.data import DeviceData
from .training.memory import is_out_of_memory
from .training.record import EpochRecord, Evaluation
from .training.trainer import Training
from .wishes import Interrupted, Wishes

_LOOK_EVERY_S = 1.0  # whether more of the scenario waits
_log = logging.getLogger(__name__)


class Batch:
    """Claims of one scenario of a sweep in training together; as long as it pays, those that end make room for others.

    What comes to its end is the courier's; what does not is the batch's to end.
    """

    def __init__(
        self, sweep: Sweep, claims: Sequence[Claim], *, parts: Parts, settings: Settings, courier: Courier, worker: str,
        paces: Paces, stop: threading.Event,
    ) -> None:  # fmt: skip
        """`stop` ends the batch after the epoch at hand."""
        self._sweep = sweep
        at = claims[0].plan.scenario
        self._scenario, self._plans = sweep.scenarios[at], [plan for plan in sweep.studies if plan.scenario == at]
        self._open = {claim.number: claim for claim in claims}
        self._store, self._studies, self._courier = parts.store, parts.studies, courier
        self._settings, self._paces, self._worker, self._stop = settings, paces, worker, stop
        self._facts = {"sweep": sweep.id, "worker": worker}
        self._attempts: dict[int, Attempt] = {}
        self._checkpoints = Checkpoints(parts, courier, every_s=settings.checkpoint_s)
        self._wishes = Wishes(sweep, parts.store, worker=worker, stop=stop)
        self._room: Room | None = None
        self._filled_at = 0.0

    def run(self, shelf: Shelf, stall: Stall) -> None:
        """Brings every claim to its end; whatever goes wrong ends the claims with its reason and comes no further."""
        try:
            self._train(*shelf.fetch(self._sweep, self._scenario), stall)
        except Interrupted as interruption:
            self._end_all(interruption.outcome, interruption.reason)
        except Unavailable as error:
            self._end_all("stopped" if self._stop.is_set() else "lost", str(error))
        except EvenhandError as error:
            self._end_all("failed", str(error))
        except Exception as error:  # one trial's misfortune, whatever it is, never costs the worker
            _log.exception("batch failed", extra=self._facts | {"action": "batch_failed"})
            self._end_all(outcome_of(error), f"{type(error).__name__}: {error}")

    def abandon(self, reason: str) -> None:
        """Lets go of what is still in training, for a worker that cannot wait any longer. Raises Untold."""
        for claim in list(self._open.values()):
            self._courier.let_go(claim, reason)

    def _begin_all(self, claims: Sequence[Claim], data: DeviceData, dataset: Dataset) -> None:
        self._checkpoints.fetch(claims)
        for claim in claims:
            self._each(claim, partial(self._begin, claim, data, dataset))

    def _begin(self, claim: Claim, data: DeviceData, dataset: Dataset) -> None:
        sweep = self._sweep
        trial = trial_spec(sweep.spec, claim.plan, claim.params, device=data.device)
        members = replicates(trial, spec=sweep.spec, scenario=self._scenario, dataset=dataset)
        if self._room is None:
            self._room = Room.of(members, data, width=self._settings.width, paces=self._paces, heed=self._wishes.heed)
        attempt = start_attempt(
            claim, members, sweep=sweep, scenario=self._scenario, data=data, content=dataset.info.content,
            room=self._room, curve_points=self._settings.curve_points, worker=self._worker,
        )  # fmt: skip
        record = self._courier.recall(attempt.journal)
        if record is not None:
            _log.info("found", extra=self._courier.facts(claim) | {"action": "found"})
            self._hand_over(attempt.journal, record)
            return
        self._attempts[claim.number] = self._checkpoints.resumed(attempt)
        self._courier.begin(attempt.journal)

    def _each(self, claim: Claim, step: Callable[[], None]) -> None:
        """Does one step of one claim; what goes wrong with it ends this claim alone, unless it concerns them all."""
        try:
            step()
        except LateTell as error:
            self._end(claim, "lost", str(error))
        except Crowded as error:
            self._end(claim, "stopped", str(error))
        except (Interrupted, Unavailable):
            raise
        except Exception as error:
            _log.exception("trial failed", extra=self._courier.facts(claim) | {"action": "trial_failed"})
            self._end(claim, outcome_of(error), f"{type(error).__name__}: {error}")

    def _train(self, data: DeviceData, dataset: Dataset, stall: Stall) -> None:
        self._begin_all(list(self._open.values()), data, dataset)
        if not self._attempts or self._room is None:
            return
        heed = stall.between(self._wishes.heed)
        training = Training([], data, width=self._room.width, graphs=self._settings.cuda_graphs, heed=heed)
        self._seat(training)
        self._wishes.heed()
        self._fill(training, self._room, data, dataset)
        while training.live:
            if self._stop.is_set():
                self._checkpoints.keep(self._attempts.values(), training, leaving=True)
                raise Interrupted("stopped", "The worker was asked to leave; the trial is tried again.")
            before = dict(self._attempts)
            with stall.epoch():
                by_member = {record.member: record for record in training.run_epoch()}
            for attempt in list(self._attempts.values()):
                records = [by_member[position] for position in attempt.positions if position in by_member]
                self._each(attempt.claim, partial(self._take_in, attempt, training, records))
            self._finish_those_at_their_end(training, by_member, data=data)
            self._checkpoints.keep(self._attempts.values(), training)
            gone = before.keys() - self._attempts.keys()
            training.drop({p for number in gone for p in before[number].positions}.intersection(training.held))
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
            found = [test for test in islice(tests, len(attempt.positions)) if test is not None]
            self._each(attempt.claim, partial(self._finish, attempt, training, found, data=data))

    def _seat(self, training: Training) -> None:
        """Takes the attempts that are new into the training; what goes wrong with that ends these alone.

        Where there is not memory enough for them all, half of them go back to the queue, and no more are claimed.
        """
        new = [attempt for attempt in self._attempts.values() if not attempt.positions]
        try:
            members = [member for attempt in new for member in attempt.members]
            positions = iter(training.join(members, [state for attempt in new for state in attempt.states]))
        except Exception as error:
            scarce = is_out_of_memory(error) and (len(new) > 1 or bool(training.live))
            for attempt in new[len(new) // 2 :] if scarce else new:
                self._end(attempt.claim, "stopped" if scarce else "failed", f"{type(error).__name__}: {error}")
            _log.warning("no place", exc_info=True, extra=self._facts | {"action": "no_place"})
        else:
            for attempt in new:
                self._attempts[attempt.claim.number] = attempt.seated(islice(positions, len(attempt.members)))
            return
        if scarce and self._room is not None:  # not before the error, and with it what had been built, is gone
            self._seat(training)
            self._room = replace(self._room, most=len(training.live))

    def _fill(self, training: Training, room: Room, data: DeviceData, dataset: Dataset) -> None:
        """Claims more of the scenario, as far as there is room where it pays."""
        self._filled_at = time.monotonic()
        if learns(self._sweep.spec) and not training.live:
            self._courier.settle()
        claims = self._claimed(room.trials(len(training.live), width=training.width))
        self._open |= {claim.number: claim for claim in claims}  # all of them, before anything can go wrong
        self._begin_all(claims, data, dataset)
        self._seat(training)

    def _claimed(self, trials: int) -> list[Claim]:
        claims: list[Claim] = []
        if trials < 1 or not self._wishes.takes_more or shortage(self._settings):
            return claims
        try:
            workers = max(len(self._store.living(grace_s=self._settings.heartbeat_grace_s)), 1)
            for plan in self._plans:
                if (width := trials - len(claims)) > 0:
                    held = sum(claim.plan == plan for claim in self._open.values())
                    claims += self._studies.claim(
                        self._sweep, worker=self._worker, width=width, held=held, workers=workers, plan=plan
                    )
        except Exception:  # those in training go on; what was claimed in vain is queued again after the batch
            _log.warning("no further claim", exc_info=True, extra=self._facts | {"action": "no_claim"})
        return claims

    def _take_in(self, attempt: Attempt, training: Training, records: Sequence[EpochRecord]) -> None:
        """Logs an epoch; where it was the attempt's last one before its time, that is told."""
        attempt.expect(records, training)
        spec, epoch = self._sweep.spec, records[0].epoch
        attempt.journal.log(attempt.observation.add(records), step=epoch)
        failure = next((record.failure for record in records if record.failure), None)
        if failure:
            self._end(attempt.claim, "failed", failure)
        elif spec.pruner != "none" and epoch < spec.training.epochs:
            value = attempt.observation.value
            if self._studies.should_prune(attempt.claim, epoch=epoch, value=value):
                self._end(attempt.claim, "pruned", f"Pruned after epoch {epoch}: {spec.objective} {value:.4f}.")

    def _finish(self, attempt: Attempt, training: Training, tests: Sequence[Evaluation], *, data: DeviceData) -> None:
        attempt.expect(tests, training)
        spec = self._sweep.spec
        value = attempt.observation.value
        if not math.isfinite(value):
            self._end(attempt.claim, "failed", f"{spec.objective} is {value}: validation shows nothing to score it by.")
            return
        record = attempt.complete(
            tests, training=training, data=data, classes=self._sweep.dataset.classes, epochs=spec.training.epochs
        )
        self._hand_over(attempt.journal, record)

    def _end_all(self, outcome: Outcome, reason: str) -> None:
        for claim in list(self._open.values()):
            self._end(claim, outcome, reason)

    def _end(self, claim: Claim, outcome: Outcome, reason: str) -> None:
        """Ends a claim without a value: at once where others may take it up or wait for its end."""
        attempt = self._attempts.get(claim.number)
        if attempt is not None and outcome in ("failed", "pruned"):
            self._hand_over(attempt.journal, attempt.ended(outcome, reason))
        elif claim.number in self._open:
            self._attempts.pop(claim.number, None)
            self._courier.give_up(claim, outcome, reason, journal=attempt.journal if attempt else None)
            del self._open[claim.number]

    def _hand_over(self, journal: Journal, record: Record) -> None:
        """Leaves an attempt that has ended to the courier, unless it was given up meanwhile."""
        self._attempts.pop(journal.claim.number, None)
        if journal.claim.number in self._open:  # until the courier has it: see `Drain`
            self._courier.finish(journal, record)
            del self._open[journal.claim.number]
