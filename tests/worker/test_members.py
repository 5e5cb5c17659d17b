"""From a claim to the trainer: what the sweep fixes, what was suggested, and the samples of each replicate."""

from collections.abc import Callable

import numpy as np
import pytest
import torch

from sweep.datasets import Dataset, DatasetInfo
from sweep.store import Sweep
from sweep.studies import Claim, Studies
from worker.members import replicates, trial_spec
from worker.training.trial import TrialSpec

CPU = torch.device("cpu")
ONE_RATIO = {"profile": "exponential", "ratios": [10]}
TrialOf = Callable[..., TrialSpec]


@pytest.fixture
def claim(submit: Callable[..., Sweep], studies: Studies) -> Callable[..., tuple[Sweep, list[Claim]]]:
    """A sweep at ratio 10 and the claims of its first study."""

    def take(**fields: object) -> tuple[Sweep, list[Claim]]:
        sweep = submit(**{"imbalance": ONE_RATIO, **fields})
        studies.lay(sweep, studies.slots(sweep))
        return sweep, studies.claim(sweep, worker="ann", width=9)

    return take


def test_alpha_comes_from_the_point_and_the_rest_from_the_resolved_sweep(
    claim: Callable[..., tuple[Sweep, list[Claim]]],
) -> None:
    sweep, claims = claim(alpha=[0.1, 0.5], loss={"name": "adaptive", "label_smoothing": 0.2})
    first, second = (trial_spec(sweep.spec, one.plan, one.params, device=CPU) for one in claims)
    assert first == TrialSpec(
        loss="adaptive", loss_params={"alpha": 0.1, "label_smoothing": 0.2}, model="mlp", model_params={}, epochs=30,
        batch_size=64, optimizer="adamw", lr=0.002, momentum=0.9, nesterov=False, weight_decay=0.01,
        schedule="cosine", warmup_epochs=0, augment=False, precision="float32",
    )  # fmt: skip
    assert second.loss_params == {"alpha": 0.5, "label_smoothing": 0.2}


def test_what_is_searched_of_the_training_takes_the_place_of_what_it_fixes(
    claim: Callable[..., tuple[Sweep, list[Claim]]],
) -> None:
    search = {"lr": [0.3], "batch_size": 32, "momentum": [0.5, 0.6], "weight_decay": 0.25}
    training = {"optimizer": "sgd", "lr": 0.1, "batch_size": 16, "epochs": 4, "schedule": "step", "warmup_epochs": 2}
    sweep, claims = claim(loss="focal", search={**search, "gamma": [1.0, 3.0]}, training=training)
    found = [trial_spec(sweep.spec, one.plan, one.params, device=CPU) for one in claims]
    assert [(spec.momentum, spec.loss_params) for spec in found] == [
        (0.5, {"gamma": 1.0}), (0.5, {"gamma": 3.0}), (0.6, {"gamma": 1.0}), (0.6, {"gamma": 3.0}),
    ]  # fmt: skip
    for spec in found:
        assert (spec.lr, spec.batch_size, spec.weight_decay, spec.nesterov) == (0.3, 32, 0.25, True)
        assert type(spec.batch_size) is int
        assert (spec.optimizer, spec.epochs, spec.schedule, spec.warmup_epochs) == ("sgd", 4, "step", 2)


@pytest.mark.parametrize(
    ("asked", "device", "precision"),
    [
        ("auto", "cpu", "float32"), ("auto", "cuda", "bfloat16"), ("float32", "cuda", "float32"),
        ("bfloat16", "cpu", "bfloat16"),
    ],
)  # fmt: skip
def test_precision_is_mixed_where_there_is_a_gpu_or_it_was_asked_for(
    asked: str, device: str, precision: str, claim: Callable[..., tuple[Sweep, list[Claim]]]
) -> None:
    sweep, (one,) = claim(alpha=0.1, training={"precision": asked})
    assert trial_spec(sweep.spec, one.plan, one.params, device=torch.device(device)).precision == precision


@pytest.mark.parametrize("scheme", ["balanced_holdout", "stratified_holdout"])
def test_replicates_have_the_seeds_from_the_sweeps_on_and_samples_of_their_own(
    scheme: str, claim: Callable[..., tuple[Sweep, list[Claim]]], digits: DatasetInfo
) -> None:
    sweep, claims = claim(alpha=[0.1, 0.2], seed=7, replicates=3, validation={"scheme": scheme})
    labels = np.repeat(np.arange(10), 140)
    dataset = Dataset(
        info=digits, train_inputs=np.zeros((1400, 1), np.float32), train_labels=labels,
        test_inputs=np.zeros((1, 1), np.float32), test_labels=labels[:1],
    )  # fmt: skip
    first, second = (
        replicates(
            trial_spec(sweep.spec, one.plan, one.params, device=CPU),
            spec=sweep.spec,
            scenario=sweep.scenarios[0],
            dataset=dataset,
        )
        for one in claims
    )
    assert [member.seed for member in first] == [700, 701, 702]
    assert {member.trial.loss_params["alpha"] for member in first} == {0.1}
    for ours, theirs in zip(first, second, strict=True):  # trials pair
        np.testing.assert_array_equal(ours.train_index, theirs.train_index)
        np.testing.assert_array_equal(ours.validation_index, theirs.validation_index)
    assert not np.array_equal(first[0].train_index, first[1].train_index)
    scenario = sweep.scenarios[0]
    for member in first:
        trained = np.bincount(labels[member.train_index], minlength=10)
        validated = np.bincount(labels[member.validation_index], minlength=10)
        assert tuple(trained) == scenario.counts
        if scheme == "balanced_holdout":
            assert tuple(validated) == (26,) * 10
        else:
            assert tuple(trained + validated) == scenario.drawn
            assert tuple(validated) == tuple(max(1, int(0.2 * count)) for count in scenario.drawn)
        assert not set(member.train_index) & set(member.validation_index)
