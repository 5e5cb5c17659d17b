"""The peers of the benchmarks do the same work as we do."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from benchmarks.export import export
from benchmarks.peers import practice
from benchmarks.peers.models import build_model
from benchmarks.peers.work import AlphaRange, Flipped, Work, read
from benchmarks.works import WORKS, Prepared
from loss import AdaptiveLoss
from worker.training.models import build_model as build_ours
from worker.training.optimization import schedule_factors
from worker.training.trainer import Training
from worker.training.unet import UNet

INPUT_SHAPES = {"toy2d": (2,), "digits": (64,), "fashion_mnist": (1, 28, 28), "shapes": (3, 48, 48)}
MODELS = {"toy2d": ("mlp", 3), "digits": ("mlp", 10), "fashion_mnist": ("small_cnn", 10), "shapes": ("unet", 4)}

Exported = Callable[[str], tuple[Prepared, Path]]


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Exported:
    data_dir = tmp_path_factory.mktemp("data")

    def of(name: str) -> tuple[Prepared, Path]:
        prepared = Prepared(WORKS[name], data_dir)
        export(prepared, data_dir / "exported" / name)
        return prepared, data_dir / "exported" / name

    return of


@pytest.mark.parametrize("name", WORKS)
def test_a_peers_model_has_our_parameters(name: str) -> None:
    model, classes = MODELS[name]
    ours = build_ours(model, input_shape=INPUT_SHAPES[name], classes=classes, params={}, seed=0)
    peers = build_model(_work(model=model, classes=classes), input_shape=INPUT_SHAPES[name])

    assert _parameter_count(peers) == _parameter_count(ours)


@pytest.mark.parametrize("name", WORKS)
def test_a_peers_model_computes_what_ours_does(name: str) -> None:
    model, classes = MODELS[name]
    ours = build_ours(model, input_shape=INPUT_SHAPES[name], classes=classes, params={}, seed=0)
    peers = build_model(_work(model=model, classes=classes), input_shape=INPUT_SHAPES[name])
    peers.load_state_dict(dict(zip(peers.state_dict(), _in_peers_order(ours), strict=True)))
    inputs = torch.randn(5, *INPUT_SHAPES[name])

    torch.testing.assert_close(peers(inputs), ours(inputs))


@pytest.mark.parametrize("shape", [(64,), (4, 12, 12)], ids=["one label a sample", "one label a pixel"])
@pytest.mark.parametrize("alpha", [0.01, 0.3, 1.0])
def test_a_peers_loss_is_ours(shape: tuple[int, ...], alpha: float) -> None:
    generator = torch.Generator().manual_seed(1)
    ours, peers = AdaptiveLoss(5, alpha), practice.AdaptiveLoss(5, alpha)

    for batch in range(6):
        logits = torch.randn(shape[0], 5, *shape[1:], generator=generator)
        # Every other batch lacks a class.
        target = torch.randint(4 + batch % 2, shape, generator=generator)
        logits_ours, logits_peers = logits.clone().requires_grad_(), logits.clone().requires_grad_()
        loss_ours, loss_peers = ours(logits_ours, target), peers(logits_peers, target)
        loss_ours.backward()
        loss_peers.backward()

        torch.testing.assert_close(loss_peers, loss_ours, atol=1e-5, rtol=1e-5)
        torch.testing.assert_close(peers.importance, ours.importance, atol=1e-5, rtol=1e-5)
        torch.testing.assert_close(logits_peers.grad, logits_ours.grad, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("name", ["digits", "shapes"])
def test_an_epoch_of_a_peer_takes_as_many_samples_and_steps_as_ours(exported: Exported, name: str) -> None:
    prepared, folder = exported(name)
    (member,) = prepared.members(0.05)
    work, data = read(folder)
    if isinstance(data.train, Flipped):
        # A few images do, and one more than whole batches.
        rows = 2 * work.batch_size + 1
        member = replace(member, train_index=member.train_index[:rows])
        data = data._replace(train=Flipped(data.train.images[:rows], data.train.masks[:rows]))
    told: list[practice.Scores] = []

    (record,) = Training([member], prepared.data).run_epoch()
    result = practice.train(replace(work, epochs=1), data, 0.05, lambda epoch, scores: told.append(scores))

    assert (result["samples"], result["steps"]) == (record.samples, record.steps)
    (scores,) = told
    # Other weights and another order: seeds alone make this much of a difference.
    assert scores["train_loss"] == pytest.approx(record.train_loss, rel=0.4)
    assert len(scores["recall"]) == len(scores["importance"]) == work.classes
    assert ("mean_iou" in result["final"]) == (name == "shapes")
    json.dumps(result)


def test_a_peers_learning_rate_goes_as_ours(exported: Exported) -> None:
    prepared, _ = exported("digits")
    (member,) = prepared.members(0.05)
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=1.0)
    scheduler = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=5 * member.trial.epochs)
    rates = []
    for _ in range(5 * member.trial.epochs):
        rates.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        scheduler.step()

    factors = [schedule_factors(member.trial, epoch=1 + epoch, steps=5) for epoch in range(member.trial.epochs)]
    assert rates == pytest.approx([factor for epoch in factors for factor in epoch], abs=1e-9)


@pytest.mark.parametrize("name", ["digits", "shapes"])
def test_a_peer_gets_the_rows_and_scale_of_replicate_0(exported: Exported, name: str) -> None:
    prepared, folder = exported(name)
    (member,) = prepared.members(0.05)
    work, data = read(folder)
    part = prepared.data.train
    rows = torch.from_numpy(member.validation_index)

    inputs, targets = (torch.stack(each) for each in zip(*data.val, strict=True))
    torch.testing.assert_close(inputs, prepared.data.prepare(part.inputs_of(rows)))
    assert torch.equal(targets, part.targets_of(rows))
    assert len(data.train) == len(member.train_index)
    with np.load(folder / "data.npz") as arrays:
        assert np.array_equal(arrays["train_x"], prepared.dataset.train_inputs[member.train_index])
        assert np.array_equal(arrays["test_y"], prepared.dataset.test_labels)
    assert (work.batch_size, work.lr, work.classes) == (member.trial.batch_size, member.trial.lr, prepared.data.classes)


def test_scores_are_those_of_a_confusion_worked_by_hand() -> None:
    logits = torch.eye(3)[torch.tensor([0, 0, 1, 2])]
    target = torch.tensor([0, 0, 0, 2])

    scores = practice.evaluate(torch.nn.Identity(), [(logits, target)], classes=3, device=torch.device("cpu"))

    assert scores["accuracy"] == 0.75
    assert scores["recall"][::2] == pytest.approx([2 / 3, 1])
    assert scores["balanced_accuracy"] == pytest.approx(5 / 6)
    assert practice.flat({"recall": scores["recall"]}) == pytest.approx({"recall/0": 2 / 3, "recall/2": 1})


def _parameter_count(model: torch.nn.Module) -> int:
    return sum(parameter.numel() for parameter in model.parameters())


def _in_peers_order(ours: torch.nn.Module) -> list[torch.Tensor]:
    """Our weights; of a U-Net with the lowest level's way up first, as the peer lists it."""
    if not isinstance(ours, UNet):
        return list(ours.state_dict().values())
    parts = [ours.down, *reversed(ours.up), ours.head]
    return [tensor for part in parts for tensor in part.state_dict().values()]


def _work(*, model: str, classes: int) -> Work:
    return Work(
        dataset="any", model=model, model_params={}, epochs=1, batch_size=16, optimizer="adamw", lr=1e-3, momentum=0.9,
        nesterov=False, weight_decay=0.0, schedule="cosine", warmup_epochs=0, augment=False, classes=classes, seed=0,
        alpha=AlphaRange(low=0.001, high=1.0, log=True), trials=1, mean=None, std=None,
    )  # fmt: skip
