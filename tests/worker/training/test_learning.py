"""One member's learning, as a cohort of its own, against a plain loop written by hand."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from loss import weighted
from worker.training import data as data_module
from worker.training.cohort import Cohort
from worker.training.data import DeviceData
from worker.training.models import build_model
from worker.training.seeds import Stream, stream_generator
from worker.training.trainer import Training
from worker.training.trial import Member, TrialSpec

RATES = [0.02, 0.04, 0.06, 0.08, 0.1, *(0.05 + 0.05 * np.cos(np.pi * np.arange(5) / 5))]
"""An epoch of warm-up and one of cosine, of five steps each."""

TRAIN, VALIDATION = np.arange(0, 150, 2), np.arange(1, 150, 10)


def by_hand(data: DeviceData, *, alpha: float) -> tuple[nn.Module, np.ndarray, np.ndarray]:
    """Two epochs of plain SGD with momentum: model, importance by step, weight and loss by sample."""
    model = build_model("mlp", input_shape=(2,), classes=3, params={"width": 8}, seed=4)
    generator = stream_generator(4, Stream.ORDER)
    importance, trajectory = np.ones(3), []
    losses: list[tuple[float, float]] = []
    rates = iter(RATES)
    velocities = [torch.zeros_like(parameter) for parameter in model.parameters()]
    for _ in range(2):
        rows = TRAIN[torch.randperm(len(TRAIN), generator=generator).numpy()]
        for start in range(0, len(rows), 16):
            batch = rows[start : start + 16]
            logits = model(data.train.inputs[batch])
            labels = data.train.targets_of(torch.tensor(batch)).numpy()
            wrong = logits.detach().numpy().argmax(1) != labels
            for c in np.unique(labels):
                importance[c] = alpha * wrong[labels == c].mean() + (1 - alpha) * importance[c]
            trajectory.append(importance.copy())
            surprise = -torch.log(torch.softmax(logits, 1)[range(len(batch)), labels])
            per_sample = torch.tensor(importance, dtype=torch.float32)[labels] * surprise
            losses += zip(importance[labels], per_sample.tolist(), strict=True)
            gradients = torch.autograd.grad(per_sample.mean(), list(model.parameters()))
            rate = next(rates)
            with torch.no_grad():
                for p, g, v in zip(model.parameters(), gradients, velocities, strict=True):
                    v.mul_(0.9).add_(g)
                    p.sub_(rate * v)
    return model, np.array(trajectory), np.array(losses)


@pytest.mark.parametrize("alpha", [0.0, 0.01, 0.3, 1.0])
def test_the_course_is_that_of_a_plain_loop(alpha: float, plain: TrialSpec, blobs: DeviceData) -> None:
    spec = replace(plain, epochs=2, model="mlp", model_params={"width": 8}, loss="adaptive")
    spec = replace(spec, loss_params={"alpha": alpha}, schedule="cosine", warmup_epochs=1)
    training = Training([Member(spec, 4, TRAIN, VALIDATION)], blobs)
    records = [record for _ in range(2) for record in training.run_epoch()]
    model, importance_SC, losses_N2 = by_hand(blobs, alpha=alpha)

    got_SC = np.concatenate([record.importance_SC for record in records])
    np.testing.assert_allclose(got_SC, importance_SC, atol=1e-6)
    for record, losses in zip(records, np.split(losses_N2, 2), strict=True):
        mean_weight, train_loss = losses.mean(axis=0)
        assert record.mean_weight == pytest.approx(mean_weight, rel=1e-5)
        assert record.train_loss == pytest.approx(train_loss, rel=1e-5)
    logits = model(blobs.train.inputs[VALIDATION])
    nll = nn.functional.cross_entropy(logits, blobs.train.targets_of(torch.tensor(VALIDATION))).item()
    assert records[-1].validation.nll == pytest.approx(nll, rel=1e-5)


def test_alpha_zero_leaves_the_weights_of_cross_entropy_to_the_last_bit(plain: TrialSpec, images: DeviceData) -> None:
    spec = replace(plain, model="small_cnn", optimizer="adamw", lr=0.01, augment=True, batch_size=7)
    zero = replace(spec, loss="adaptive", loss_params={"alpha": 0.0})
    ours, theirs = (Cohort([Member(one, 1, np.arange(30), np.arange(30, 40))], images) for one in (zero, spec))
    for _ in (1, 2):
        assert torch.equal(ours.train_epoch().loss_SK, theirs.train_epoch().loss_SK)
    for name, value in ours.model.state_dict().items():
        assert torch.equal(value, theirs.model.state_dict()[name]), name


def test_batch_norm_follows_the_training_batches_and_is_left_alone_by_evaluation(
    plain: TrialSpec, images: DeviceData
) -> None:
    cohort = Cohort([Member(replace(plain, model="small_cnn"), 1, np.arange(30), np.arange(30, 40))], images)
    for _ in (1, 2):
        before = [buffer.clone() for buffer in cohort.model.buffers()]
        cohort.train_epoch()
        trained = [buffer.clone() for buffer in cohort.model.buffers()]
        assert not any(torch.equal(*pair) for pair in zip(before, trained, strict=True))
        counts, _ = cohort.validate(), cohort.test([0])
        assert all(torch.equal(*pair) for pair in zip(trained, cohort.model.buffers(), strict=True))
    logits = cohort.model.eval()(images.prepare(images.train.inputs[30:])[None])[0]
    expected = nn.functional.cross_entropy(logits, images.train.targets_of(torch.arange(30, 40)))
    assert counts.nll_K.item() == pytest.approx(expected.item(), rel=1e-6)


def test_class_counts_are_those_of_the_members_own_rows(plain: TrialSpec, blobs: DeviceData) -> None:
    labels_N = blobs.train.targets_of(torch.arange(150)).numpy()
    rows = np.append(np.flatnonzero(labels_N != 2)[:60], np.flatnonzero(labels_N == 2)[:4])
    cohort = Cohort([Member(replace(plain, loss="weighted", batch_size=64), 1, rows, VALIDATION)], blobs)
    logits, labels = cohort.model(blobs.train.inputs[rows][None])[0], torch.tensor(labels_N[rows])
    expected = weighted(logits, labels, class_counts=torch.tensor([30, 30, 4]))
    torch.testing.assert_close(cohort.train_epoch().loss_SK, expected.detach()[None, None])


def on_gpu(data: DeviceData) -> DeviceData:
    """The same data on the GPU."""
    return DeviceData(
        train_inputs=data.train.inputs.numpy(),
        train_labels=data.train.targets_of(torch.arange(len(data.train))).numpy(),
        test_inputs=data.test.inputs.numpy(),
        test_labels=data.test.targets_of(torch.arange(len(data.test))).numpy(),
        classes=data.classes,
        device=torch.device("cuda"),
    )


needs_gpu = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")


MIXED = [("adaptive", {"alpha": 0.1}), ("focal", {"gamma": 1.5}), ("weighted", {}), ("cross_entropy", {})]


@pytest.mark.gpu
@needs_gpu
@pytest.mark.parametrize("resident", [True, False])
@pytest.mark.parametrize(
    "changes",
    [
        {"model": "small_cnn", "augment": True, "precision": "bfloat16"},
        {"model": "mlp", "model_params": {"dropout": 0.3}, "optimizer": "adamw"},
    ],
    ids=["sgd", "adamw and dropout"],
)
def test_an_epoch_never_waits_for_the_gpu(
    changes: dict[str, Any], resident: bool, plain: TrialSpec, images: DeviceData, monkeypatch: pytest.MonkeyPatch
) -> None:
    many = [
        Member(replace(plain, loss=loss, loss_params=params, **changes), at % 2, np.arange(30), np.arange(30, 40))
        for at, (loss, params) in enumerate([*MIXED, MIXED[0]])
    ]
    if not resident:
        monkeypatch.setattr(data_module, "_SHARE_OF_MEMORY", 0.0)
    data = on_gpu(images)
    assert data.home.type == ("cuda" if resident else "cpu")
    cohort = Cohort(many, data)
    cohort.train_epoch()
    torch.cuda.set_sync_debug_mode("error")
    try:
        cohort.train_epoch()
        cohort.validate()
    finally:
        torch.cuda.set_sync_debug_mode("default")


@pytest.mark.gpu
@needs_gpu
def test_a_gpu_follows_the_same_course_as_a_cpu(plain: TrialSpec, blobs: DeviceData) -> None:
    spec = replace(plain, model="mlp", loss="adaptive", loss_params={"alpha": 0.1})
    member = Member(spec, 1, TRAIN, VALIDATION)
    (here,), (there,) = (Training([member], data).run_epoch() for data in (blobs, on_gpu(blobs)))
    # Sums are taken in another order, so single precision agrees to about four digits after five steps.
    assert there.train_loss == pytest.approx(here.train_loss, rel=1e-4)
    assert there.validation.nll == pytest.approx(here.validation.nll, rel=1e-4)


@pytest.mark.gpu
@needs_gpu
@pytest.mark.parametrize("model", ["mlp", "small_cnn"])
def test_recorded_steps_are_the_steps_themselves(model: str, plain: TrialSpec, images: DeviceData) -> None:
    spec = replace(plain, model=model, loss="adaptive", loss_params={"alpha": 0.1}, optimizer="adamw", batch_size=4)
    many = [Member(replace(spec, lr=0.001 * at), at % 2, np.arange(30), np.arange(30, 40)) for at in (1, 2, 3)]
    data = on_gpu(images)
    as_they_are, recorded = (Training(many, data, graphs=graphs) for graphs in (False, True))
    for _ in range(spec.epochs):
        for one, other in zip(as_they_are.run_epoch(), recorded.run_epoch(), strict=True):
            assert other.train_loss == pytest.approx(one.train_loss, rel=1e-4)
            assert one.importance_SC is not None and other.importance_SC is not None
            np.testing.assert_allclose(other.importance_SC, one.importance_SC, atol=0.05)
