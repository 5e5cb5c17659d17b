"""What an attempt leaves when it ends before its time."""

from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest

from sweep.studies import Claim
from worker.attempt import Attempt
from worker.journal import Journal
from worker.observation import Observation
from worker.training.record import EpochRecord, Evaluation


@pytest.fixture
def attempt() -> Attempt:
    """An attempt after two epochs, of whose curves by class MLflow gets epochs 1, 16 and 30."""
    observation = Observation(
        title="a trial", classes=["cat", "dog"], counts=[6, 2], seeds=[3], objective="balanced_accuracy",
        is_dense=False, epochs=30, curve_points=3,
    )  # fmt: skip
    for epoch in (1, 2):
        observation.add([
            EpochRecord(
                member=0, epoch=epoch, steps=1, samples=8, lr=0.1, train_loss=1.0, mean_weight=0.5,
                importance_SC=np.array([[1.0, epoch]], dtype=np.float32),
                validation=Evaluation(confusion_CC=np.array([(4, 0), (1, 3)]), nll=1.0), seconds=0.1, failure=None,
            )
        ])  # fmt: skip
    claim = cast("Claim", SimpleNamespace(sweep="s1", number=0, attempt=1))
    journal = Journal(claim=claim, sweep=cast("Any", None), trial=["a"], name="a trial", params={}, tags={})
    return Attempt(members=[], observation=observation, journal=journal, worker="ann", states=[])


def test_the_last_epoch_of_a_pruned_trial_is_whole_in_its_record(attempt: Attempt) -> None:
    record = attempt.ended("pruned", "It was poor.")
    assert (record.outcome, record.reason, record.value) == ("pruned", "It was poor.", None)
    assert {(point.key, point.step): point.value for point in record.points} == {
        ("importance/cat", 2): 1.0, ("importance/dog", 2): 2.0, ("val/recall/cat", 2): 1.0, ("val/recall/dog", 2): 0.75,
    }  # fmt: skip
    assert set(record.files) == {"classes.png", "epochs.parquet", "trajectory.parquet"}


def test_a_trial_that_fails_of_its_picture_fails_without_it_and_the_log_says_whose(
    attempt: Attempt, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(self: Observation) -> dict[str, bytes]:
        raise ValueError("no such colour")

    monkeypatch.setattr(Observation, "artifacts", broken)
    assert attempt.ended("failed", "ValueError: no such colour").files == {}
    said = caplog.records[-1].__dict__
    assert {name: said[name] for name in ("sweep", "trial", "attempt", "worker")} == {
        "sweep": "s1", "trial": 0, "attempt": 1, "worker": "ann",
    }  # fmt: skip
