"""AdaptiveLoss: what it holds and when it moves."""

import copy

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from loss import AdaptiveLoss

from .oracle import LOGITS, TARGET, random_batch, step


@pytest.mark.parametrize(
    ("alpha", "importance", "loss"),
    [
        (0.0, [1, 1, 1], 0.7367717129),
        (0.01, [0.9933333333333333, 0.995, 0.99], 0.7323513473),
        (0.1, [0.9333333333333333, 0.95, 0.9], 0.6925680564),
        (1.0, [1 / 3, 1 / 2, 0], 0.2947351478),
    ],
)
def test_golden_values(alpha, importance, loss):
    criterion = AdaptiveLoss(3, alpha).double()
    assert criterion(LOGITS, TARGET).item() == pytest.approx(loss, abs=5e-11)
    assert criterion.importance.tolist() == pytest.approx(importance, abs=1e-14)


def test_the_same_batch_twice_moves_the_importance_twice():
    criterion = AdaptiveLoss(3, 0.1).double()
    criterion(LOGITS, TARGET)
    assert criterion(LOGITS, TARGET).item() == pytest.approx(0.6527847656, abs=5e-11)
    assert criterion.importance.tolist() == pytest.approx([0.8733333333333333, 0.905, 0.81], abs=1e-14)


def test_the_defaults_are_those_of_the_post():
    criterion = AdaptiveLoss(3)
    assert criterion.alpha == 0.01
    assert torch.equal(criterion.importance, torch.ones(3))
    assert criterion.importance.dtype == torch.float32


def test_a_long_trajectory_equals_the_hand_written_loop():
    criterion, expected = AdaptiveLoss(6, 0.07, label_smoothing=0.1).double(), [1.0] * 6
    for seed in range(100):
        logits, target = random_batch(seed, elements=(4, 3, 3), classes=6, ignored=0.2)
        outcome = step(logits, target, expected, alpha=0.07, label_smoothing=0.1)
        expected = outcome.importance
        assert criterion(logits, target).item() == pytest.approx(outcome.mean, rel=1e-12)
        assert criterion.importance.tolist() == pytest.approx(expected, rel=1e-12, abs=1e-15)


def test_alpha_0_is_cross_entropy_to_the_last_bit():
    criterion = AdaptiveLoss(9, 0.0)
    for seed in range(200):
        logits, target = random_batch(seed, elements=(1 + seed % 70,), classes=9)
        logits = logits.float()
        assert torch.equal(criterion(logits, target), F.cross_entropy(logits, target))
    assert torch.equal(criterion.importance, torch.ones(9))


def test_alpha_1_remembers_nothing_of_the_classes_it_sees():
    one, other = AdaptiveLoss(3, 1.0), AdaptiveLoss(3, 1.0)
    one(LOGITS.flip(1), TARGET)
    assert torch.equal(one(LOGITS, TARGET), other(LOGITS, TARGET))
    assert torch.equal(one.importance, other.importance)


def test_evaluation_mode_uses_the_importance_and_leaves_it():
    criterion = AdaptiveLoss(3, 0.5).double()
    criterion.importance.copy_(torch.tensor([0.5, 2.0, 3.0]))
    criterion.eval()
    frozen = criterion.importance.clone()
    expected = F.cross_entropy(LOGITS, TARGET, weight=frozen, reduction="sum") / 6
    assert torch.equal(criterion(LOGITS, TARGET), expected)
    assert torch.equal(criterion.importance, frozen)


def test_a_training_step_does_not_spoil_the_backward_of_earlier_losses():
    criterion = AdaptiveLoss(3, 0.5)
    logits = LOGITS.float().requires_grad_()
    first = criterion(logits, TARGET)
    evaluated = criterion.eval()(logits, TARGET)
    criterion.train()(logits, TARGET)
    (first + evaluated).backward()
    assert logits.grad.isfinite().all()


def test_the_buffer_stays_the_same_tensor():
    criterion = AdaptiveLoss(3, 0.5)
    address = criterion.importance.data_ptr()
    alias = criterion.state_dict()["importance"]
    criterion(LOGITS.float(), TARGET)
    assert criterion.importance.data_ptr() == address
    assert torch.equal(alias, criterion.importance)


def test_a_saved_loss_goes_on_where_it_was():
    criterion = AdaptiveLoss(3, 0.3)
    criterion(LOGITS.float(), TARGET)
    restored = AdaptiveLoss(3, 0.3)
    restored.load_state_dict(copy.deepcopy(criterion.state_dict()))
    flipped = LOGITS.float().flip(1)
    assert torch.equal(criterion(flipped, TARGET), restored(flipped, TARGET))
    assert torch.equal(criterion.importance, restored.importance)


@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
def test_reductions(reduction):
    criterion = AdaptiveLoss(3, 0.2, reduction=reduction).double()
    elements = torch.tensor(step(LOGITS, TARGET, [1.0] * 3, alpha=0.2).elements, dtype=torch.float64)
    expected = {"mean": elements.mean(), "sum": elements.sum(), "none": elements}[reduction]
    torch.testing.assert_close(criterion(LOGITS, TARGET), expected, rtol=1e-12, atol=0)


def test_another_ignore_index_is_honoured():
    target = TARGET.clone()
    target[4] = 255
    ours, theirs = AdaptiveLoss(3, 0.2, ignore_index=255).double(), AdaptiveLoss(3, 0.2).double()
    kept = target != 255
    torch.testing.assert_close(ours(LOGITS, target), theirs(LOGITS[kept], target[kept]), rtol=1e-14, atol=0)
    assert torch.equal(ours.importance, theirs.importance)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_under_autocast_loss_and_importance_are_float32(dtype):
    criterion, reference = AdaptiveLoss(3, 0.3), AdaptiveLoss(3, 0.3)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        loss = criterion(LOGITS.to(dtype), TARGET)
    assert loss.dtype == criterion.importance.dtype == torch.float32
    assert torch.equal(loss, reference(LOGITS.float(), TARGET))
    assert torch.equal(criterion.importance, reference.importance)


def test_a_model_made_half_keeps_the_importance_in_float32():
    model = nn.ModuleDict({"net": nn.Linear(2, 3), "criterion": AdaptiveLoss(3)})
    model["criterion"].importance.mul_(1 / 3)
    model.half()
    assert model["net"].weight.dtype == torch.float16
    assert torch.equal(model["criterion"].importance, torch.ones(3) / 3)
    assert model.double()["criterion"].importance.dtype == torch.float64


@pytest.mark.parametrize("backend", ["aot_eager", pytest.param("inductor", marks=pytest.mark.slow)])
def test_training_compiles_to_one_graph(backend):
    eager, compiled = AdaptiveLoss(5, 0.3, label_smoothing=0.1), AdaptiveLoss(5, 0.3, label_smoothing=0.1)
    run = torch.compile(compiled, fullgraph=True, backend=backend)
    for seed in range(3):
        logits, target = random_batch(seed, elements=(8,), classes=5, ignored=0.2)
        ours, theirs = (logits.float().requires_grad_() for _ in range(2))
        loss, expected = run(ours, target), eager(theirs, target)
        loss.backward()
        expected.backward()
        torch.testing.assert_close(loss, expected)
        torch.testing.assert_close(ours.grad, theirs.grad)
        torch.testing.assert_close(compiled.importance, eager.importance)


def test_modules_stacked_under_vmap_equal_the_same_modules_alone():
    alone = [AdaptiveLoss(4, 0.3).double() for _ in range(3)]
    batches = [random_batch(seed, elements=(9,), classes=4) for seed in range(3)]
    logits, target = (torch.stack(parts) for parts in zip(*batches, strict=True))
    importance = torch.ones(3, 4, dtype=torch.float64)

    def member(buffer, z, y):
        return torch.func.functional_call(alone[0], {"importance": buffer}, (z, y))

    together = torch.func.vmap(member)(importance, logits, target)
    losses = torch.stack([criterion(*batch) for criterion, batch in zip(alone, batches, strict=True)])
    torch.testing.assert_close(together, losses, rtol=1e-13, atol=0)
    torch.testing.assert_close(importance, torch.stack([criterion.importance for criterion in alone]))


def test_printing_tells_the_arguments():
    assert repr(AdaptiveLoss(3, 0.5, reduction="sum")) == (
        "AdaptiveLoss(num_classes=3, alpha=0.5, ignore_index=-100, label_smoothing=0.0, reduction='sum')"
    )


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs an NVIDIA GPU")
def test_a_step_on_the_gpu_equals_the_cpus_and_makes_no_host_wait():
    on_cpu, on_gpu = AdaptiveLoss(5, 0.3).double(), AdaptiveLoss(5, 0.3).double().cuda()
    logits, target = random_batch(0, elements=(6, 7, 7), classes=5, ignored=0.2)
    logits_gpu, target_gpu = logits.cuda().requires_grad_(), target.cuda()
    torch.cuda.set_sync_debug_mode("error")
    try:
        loss = on_gpu(logits_gpu, target_gpu)
        loss.backward()
    finally:
        torch.cuda.set_sync_debug_mode("default")
    torch.testing.assert_close(loss.cpu(), on_cpu(logits, target), rtol=1e-12, atol=0)
    torch.testing.assert_close(on_gpu.importance.cpu(), on_cpu.importance, rtol=1e-14, atol=0)
