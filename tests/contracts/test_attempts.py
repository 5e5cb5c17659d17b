"""How attempts end on both databases: told once, queued again when lost or stopped, given up, cancelled, pruned."""

import time
from collections.abc import Callable
from dataclasses import replace

import optuna
import pytest
from optuna.exceptions import StorageInternalError

from sweep.errors import DatabaseAway
from sweep.slots import Replicate, SlotState, has_ended, progress
from sweep.store import Store, Sweep
from sweep.studies import LateTell, Studies

from ..slots import claim_one, last, states

Submit = Callable[..., Sweep]
SEEN = [Replicate(seed=0, value=0.5, validation={"nll": 1.0}, test={"nll": 2.0})]


def test_a_complete_trial_keeps_its_value_and_what_its_replicates_gave(studies: Studies, laid: Submit) -> None:
    sweep = laid(alpha=[0.3, 0.1])
    claim = claim_one(studies, sweep)
    studies.note_run(claim, "run-1")
    studies.complete(claim, value=0.25, replicates=SEEN)
    slot = studies.slots(sweep)[0]
    attempt = last(slot)
    assert (slot.state, attempt.value, attempt.replicates, attempt.run_id) == ("complete", 0.25, SEEN, "run-1")
    assert attempt.started_at is not None
    assert attempt.ended_at is not None
    assert attempt.started_at <= attempt.ended_at
    assert slot.params == {"alpha": 0.3, "label_smoothing": 0.0}


@pytest.mark.parametrize(
    ("outcome", "state"),
    [
        ("failed", "failed"), ("pruned", "pruned"), ("cancelled", "cancelled"), ("stopped", "waiting"),
        ("lost", "waiting"),
    ],
)  # fmt: skip
def test_an_attempt_that_ends_without_a_value_says_why(
    outcome: str, state: SlotState, studies: Studies, laid: Submit
) -> None:
    sweep = laid(trials=1)
    studies.give_up(claim_one(studies, sweep), outcome=outcome, reason="It rained.")  # type: ignore[arg-type]
    (slot,) = studies.slots(sweep)
    assert (slot.state, last(slot).outcome, last(slot).reason, last(slot).value) == (state, outcome, "It rained.", None)


def test_who_was_given_up_meanwhile_is_told_so_and_changes_nothing(studies: Studies, laid: Submit) -> None:
    sweep = laid(alpha=[0.3], trials=1)
    late = claim_one(studies, sweep, "dead")
    studies.give_up_lost(studies.slots(sweep), workers={"ann"}, grace_s=60)
    tells: tuple[Callable[[], None], ...] = (
        lambda: studies.complete(late, value=0.9, replicates=SEEN),
        lambda: studies.give_up(late, outcome="failed", reason="Late."),
        lambda: studies.note_run(late, "run-9"),
    )
    for tell in tells:
        with pytest.raises(LateTell):
            tell()
    (slot,) = studies.slots(sweep)
    attempt = last(slot)
    assert (slot.state, attempt.outcome, attempt.value, attempt.run_id) == ("waiting", "lost", None, None)
    assert attempt.reason == "Worker dead gave no sign of life, or let go of the trial."


def test_a_complete_trial_bears_no_reason_of_somebody_who_was_about_to_give_it_up(
    studies: Studies, laid: Submit
) -> None:
    sweep = laid(trials=1)
    claim = claim_one(studies, sweep)
    studies._trials.note(claim.trial._trial_id, {"outcome": "lost", "reason": "Gone."})  # and died, or came too late
    studies.complete(claim, value=0.5, replicates=[])
    attempt = last(studies.slots(sweep)[0])
    assert (attempt.outcome, attempt.reason, attempt.value) == ("complete", None, 0.5)


def test_only_attempts_of_the_dead_are_given_up_and_their_runs_are_named(studies: Studies, laid: Submit) -> None:
    sweep = laid(trials=3)
    dead, living = claim_one(studies, sweep, "dead"), claim_one(studies, sweep, "ann")
    studies.note_run(dead, "run-dead")
    studies.note_run(living, "run-living")
    assert [attempt.run_id for attempt in studies.give_up_lost(studies.slots(sweep), workers={"ann"}, grace_s=60)] == [
        "run-dead"
    ]
    assert studies.give_up_lost(studies.slots(sweep), workers={"ann"}, grace_s=60) == []
    assert states(studies, sweep) == ["waiting", "running", "waiting"]
    studies.complete(living, value=0.5, replicates=[])


def test_an_attempt_too_young_to_name_its_worker_has_its_grace(studies: Studies, laid: Submit) -> None:
    sweep = laid(trials=1)
    optuna.load_study(study_name=f"{sweep.id}/0/adaptive", storage=studies._trials._storage).ask()
    studies.give_up_lost(studies.slots(sweep), workers=set(), grace_s=60)
    assert states(studies, sweep) == ["running"]
    time.sleep(0.02)
    studies.give_up_lost(studies.slots(sweep), workers=set(), grace_s=0.01)
    assert states(studies, sweep) == ["waiting"]
    assert studies._nameless == {}


def test_an_attempt_that_has_got_its_name_or_its_end_is_no_longer_watched(studies: Studies, laid: Submit) -> None:
    sweep = laid(trials=2)
    study = optuna.load_study(study_name=f"{sweep.id}/0/adaptive", storage=studies._trials._storage)
    named, ended = study.ask(), study.ask()
    studies.give_up_lost(studies.slots(sweep), workers={"ann"}, grace_s=60)
    assert studies._nameless.keys() == {named._trial_id, ended._trial_id}
    studies._trials.note(named._trial_id, {"worker": "ann"})
    studies._trials.fail(ended._trial_id, {})
    studies.give_up_lost(studies.slots(sweep), workers={"ann"}, grace_s=60)
    assert studies._nameless == {}


def test_a_lost_attempt_is_tried_again_at_its_point_until_there_were_enough(studies: Studies, laid: Submit) -> None:
    sweep = laid(sampler="tpe", trials=1)
    tried = []
    for _ in range(3):
        tried.append(claim_one(studies, sweep, "dead").params)
        studies.give_up_lost(studies.slots(sweep), workers=set(), grace_s=60)
        studies.requeue_due(sweep, studies.slots(sweep))
        studies.requeue_due(sweep, studies.slots(sweep))
    assert tried[0] == tried[1] == tried[2]
    (slot,) = studies.slots(sweep)
    assert [attempt.outcome for attempt in slot.attempts] == ["lost"] * 3  # the first one and two retries
    assert slot.state == "failed"
    assert last(slot).reason == "Worker dead gave no sign of life, or let go of the trial."
    assert studies.claim(sweep, worker="ann", width=1) == []


def test_a_stopped_attempt_is_tried_again_however_often(studies: Studies, laid: Submit) -> None:
    sweep = laid(alpha=[0.2])
    for _ in range(5):
        studies.give_up(claim_one(studies, sweep), outcome="stopped", reason="The worker left.")
        studies.requeue_due(sweep, studies.slots(sweep))
    claim = claim_one(studies, sweep)
    assert claim.params == {"alpha": 0.2}
    studies.complete(claim, value=0.5, replicates=[])
    (slot,) = studies.slots(sweep)
    assert [attempt.outcome for attempt in slot.attempts] == ["stopped"] * 5 + ["complete"]
    assert slot.state == "complete"


def test_cancelling_ends_what_waits_and_leaves_what_runs(studies: Studies, laid: Submit, store: Store) -> None:
    sweep = laid(trials=4)
    done, running = claim_one(studies, sweep), claim_one(studies, sweep)
    studies.complete(done, value=0.5, replicates=[])
    store.want(sweep.id, "cancel")
    studies.cancel_waiting(studies.slots(sweep))
    cancelled = store.get(sweep.id)
    assert states(studies, cancelled) == ["complete", "running", "cancelled", "cancelled"]
    assert last(studies.slots(cancelled)[3]).reason == "The sweep was cancelled."
    studies.give_up(running, outcome="cancelled", reason="The sweep was cancelled.")
    counts = progress(studies.slots(cancelled))
    assert counts == {"total": 4, "waiting": 0, "running": 0, "complete": 1, "pruned": 0, "failed": 0, "cancelled": 3}
    assert has_ended(counts)


def test_a_cancelled_sweep_owes_nobody_another_attempt(studies: Studies, laid: Submit) -> None:
    sweep = laid(trials=2)
    lost, stopped = claim_one(studies, sweep, "dead"), claim_one(studies, sweep)
    studies.give_up(lost, outcome="lost", reason="Gone.")
    studies.give_up(stopped, outcome="stopped", reason="Left.")
    assert states(studies, sweep) == ["waiting", "waiting"]
    cancelled = replace(sweep, wanted="cancel")
    studies.requeue_due(cancelled, studies.slots(cancelled))
    assert states(studies, cancelled) == ["failed", "cancelled"]


@pytest.mark.parametrize("pruner", ["median", "hyperband"])
def test_a_poor_trial_is_pruned_by_what_others_reported(pruner: str, studies: Studies, laid: Submit) -> None:
    sweep = laid(sampler="random", trials=24, pruner=pruner, training={"epochs": 9})
    for number in range(24):
        claim = claim_one(studies, sweep)
        value = 1 - number / 24
        for epoch in range(1, 9):
            if studies.should_prune(claim, epoch=epoch, value=value):
                studies.give_up(claim, outcome="pruned", reason=f"Pruned after epoch {epoch}.")
                break
        else:
            studies.complete(claim, value=value, replicates=[])
    found = states(studies, sweep)
    assert found[0] == "complete"
    assert 3 < found.count("pruned") < 24


def test_a_retry_has_the_whole_point_though_the_first_attempt_knew_but_a_part(
    studies: Studies, laid: Submit, monkeypatch: pytest.MonkeyPatch
) -> None:
    sweep = laid(sampler="random", trials=1, search={"lr": {"low": 0.001, "high": 0.1, "log": True}})
    planned = dict(last(studies.slots(sweep)[0]).params)

    def die(*_: object, **__: object) -> float:
        raise SystemExit("killed")

    with monkeypatch.context() as patched:
        patched.setattr(optuna.Trial, "suggest_float", _once(optuna.Trial.suggest_float, then=die))
        with pytest.raises(SystemExit, match="killed"):
            studies.claim(sweep, worker="dead", width=1)
    studies.give_up_lost(studies.slots(sweep), workers=set(), grace_s=60)
    studies.requeue_due(sweep, studies.slots(sweep))
    assert claim_one(studies, sweep).params == planned
    assert set(planned) == {"alpha", "lr"}


def test_a_point_that_cannot_be_found_fails_its_trial_and_no_other(
    studies: Studies, laid: Submit, monkeypatch: pytest.MonkeyPatch
) -> None:
    sweep = laid(alpha=[0.1, 0.2])
    monkeypatch.setattr(optuna.Trial, "suggest_categorical", _once(_fail, then=optuna.Trial.suggest_categorical))
    monkeypatch.setattr(optuna.Trial, "suggest_float", _once(_fail, then=optuna.Trial.suggest_float))
    assert [claim.number for claim in studies.claim(sweep, worker="ann", width=2)] == [1]
    first, second = studies.slots(sweep)
    assert (first.state, second.state) == ("failed", "running")
    assert last(first).reason == "No point was found: ArithmeticError: singular"


@pytest.mark.parametrize(("error", "outcome"), [(DatabaseAway, "stopped"), (StorageInternalError, "lost")])
def test_a_trial_whose_point_the_database_cut_short_is_queued_again(
    error: type[Exception], outcome: str, studies: Studies, laid: Submit, monkeypatch: pytest.MonkeyPatch
) -> None:
    sweep = laid(alpha=[0.1, 0.2])

    def break_off(*_: object, **__: object) -> None:
        raise error("It rains.")

    with monkeypatch.context() as patched:
        patched.setattr(type(studies._trials), "suggest", break_off)
        with pytest.raises(error):
            studies.claim(sweep, worker="ann", width=2)
    studies.requeue_due(sweep, studies.slots(sweep))
    assert states(studies, sweep) == ["waiting", "waiting"]
    assert [attempt.outcome for attempt in studies.slots(sweep)[0].attempts] == [outcome, None]


def test_a_value_that_optuna_cannot_take_is_no_late_tell(studies: Studies, laid: Submit) -> None:
    claim = claim_one(studies, laid(trials=1))
    with pytest.raises(ValueError, match="nan"):
        studies.complete(claim, value=float("nan"), replicates=[])


def _fail(*_: object, **__: object) -> float:
    raise ArithmeticError("singular")


def _once(call: Callable[..., float], *, then: Callable[..., float]) -> Callable[..., float]:
    calls = iter([call])
    return lambda *args, **kwargs: next(calls, then)(*args, **kwargs)
