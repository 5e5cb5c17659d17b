"""What an attempt leaves of its last epoch when it ends before its time."""

from typing import cast
from unittest.mock import Mock, call

import numpy as np

from sweep.studies import Claim
from sweep.tracking import Tracking
from worker.attempt import Attempt, end_attempt
from worker.observation import Observation
from worker.training.record import EpochRecord, Evaluation


def test_the_last_epoch_of_a_pruned_trial_is_whole_in_mlflow_before_its_run_ends() -> None:
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
    tracking = Mock(spec=Tracking)
    attempt = Attempt(claim=cast("Claim", None), members=[], observation=observation, run_id="run", states=[])
    end_attempt(attempt, "pruned", "It was poor.", tracking=tracking)
    left = {"importance/cat": 1.0, "importance/dog": 2.0, "val/recall/cat": 1.0, "val/recall/dog": 0.75}
    assert [made[0] for made in tracking.method_calls] == ["log", "add_artifacts", "flush", "end"]
    assert tracking.method_calls[0] == call.log("run", left, step=2)
