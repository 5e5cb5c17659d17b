"""The adaptive loss's mathematics: against the hand-written loop, to the last bit of cross-entropy, and under vmap."""

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.fx.experimental.proxy_tensor import make_fx
from torch.utils._python_dispatch import TorchDispatchMode

from loss import adaptive, class_errors, update_importance, weighted_cross_entropy

from .oracle import random_batch, step

SHAPES = [(1,), (7,), (64,), (300,), (3, 5), (2, 4, 6), (5, 17, 9), (2, 3, 2, 4)]


@settings(max_examples=300, deadline=None, derandomize=True)
@given(
    seed=st.integers(0, 2**32),
    elements=st.sampled_from(SHAPES),
    classes=st.integers(2, 12),
    alpha=st.one_of(st.sampled_from([0.0, 1.0]), st.floats(0, 1)),
    ignored=st.sampled_from([0.0, 0.3]),
    label_smoothing=st.sampled_from([0.0, 0.1, 0.7]),
    ties=st.booleans(),
)
def test_a_trajectory_equals_the_hand_written_loop(seed, elements, classes, alpha, ignored, label_smoothing, ties):
    importance, expected = torch.ones(classes, dtype=torch.float64), [1.0] * classes
    for batch in range(3):
        logits, target = random_batch(seed + batch, elements=elements, classes=classes, ignored=ignored, ties=ties)
        outcome = step(logits, target, expected, alpha=alpha, label_smoothing=label_smoothing)
        expected = outcome.importance
        before = importance
        loss, importance = adaptive(logits, target, before, alpha=alpha, label_smoothing=label_smoothing)
        each, _ = adaptive(logits, target, before, alpha=alpha, label_smoothing=label_smoothing, reduction="none")
        assert importance.tolist() == pytest.approx(expected, rel=1e-12, abs=1e-15)
        assert loss.item() == pytest.approx(outcome.mean, rel=1e-12, abs=1e-12)
        assert each.flatten().tolist() == pytest.approx(outcome.elements, rel=1e-12, abs=1e-12)


@pytest.mark.parametrize("label_smoothing", [0.0, 0.1])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_weights_of_one_give_cross_entropy_and_its_gradient_to_the_last_bit(dtype, label_smoothing):
    for seed in range(800):
        elements, classes = SHAPES[seed % len(SHAPES)], 2 + seed % 23
        logits, target = random_batch(seed, elements=elements, classes=classes, ignored=0.3 * (seed % 3 == 0))
        if (target == -100).all():
            continue
        logits = logits.to(dtype).requires_grad_()
        ours, importance = adaptive(logits, target, torch.ones(classes), alpha=0.0, label_smoothing=label_smoothing)
        torchs = F.cross_entropy(logits, target, label_smoothing=label_smoothing)
        assert torch.equal(ours, torchs)
        assert torch.equal(*(torch.autograd.grad(loss, logits)[0] for loss in (ours, torchs)))
        assert torch.equal(importance, torch.ones(classes))


def test_a_large_dense_batch_gives_cross_entropy_to_the_last_bit():
    logits, target = random_batch(0, elements=(4, 150, 150), classes=5, ignored=0.2)
    logits = logits.float().requires_grad_()
    ours, _ = adaptive(logits, target, torch.ones(5), alpha=0.0, label_smoothing=0.1)
    torchs = F.cross_entropy(logits, target, label_smoothing=0.1)
    assert torch.equal(ours, torchs)
    assert torch.equal(*(torch.autograd.grad(loss, logits)[0] for loss in (ours, torchs)))


def test_equal_logits_are_predicted_as_the_first_class():
    false_negatives, counts = class_errors(torch.zeros(6, 3), torch.tensor([0, 0, 1, 1, 1, 2]))
    assert false_negatives.tolist() == [0, 3, 1]
    assert counts.tolist() == [2, 3, 1]


def test_counts_are_exact_where_float32_could_not_add_another_one():
    elements = 2**24 + 3
    logits = torch.tensor([[1.0, 0.0]]).expand(elements, 2)
    target = torch.zeros(1, dtype=torch.int64).expand(elements)
    _, counts = class_errors(logits, target, dtype=torch.float64)
    assert counts.tolist() == [elements, 0]


def test_a_class_may_be_the_ignored_one():
    false_negatives, counts = class_errors(torch.zeros(4, 3), torch.tensor([0, 1, 1, 2]), ignore_index=1)
    assert false_negatives.tolist() == [0, 0, 1]
    assert counts.tolist() == [1, 0, 1]


def test_absent_classes_keep_their_importance_to_the_last_bit():
    before = torch.tensor([0.1, 0.3, 0.7])
    after = update_importance(
        before,
        false_negatives_C=torch.tensor([0.0, 2.0, 0.0]),
        counts_C=torch.tensor([0.0, 4.0, 0.0]),
        alpha=0.25,
    )
    assert torch.equal(after[[0, 2]], before[[0, 2]])
    assert after[1].item() == pytest.approx(0.25 * 0.5 + 0.75 * 0.3, rel=1e-6)


@pytest.mark.parametrize("label_smoothing", [0.0, 0.1])
def test_a_batch_of_ignored_elements_has_no_loss_and_no_gradient(label_smoothing):
    logits = torch.randn(5, 3, requires_grad=True)
    importance = torch.tensor([0.2, 0.5, 0.9])
    loss, after = adaptive(logits, torch.full((5,), -100), importance, alpha=0.5, label_smoothing=label_smoothing)
    (gradient,) = torch.autograd.grad(loss, logits)
    assert loss.item() == 0
    assert torch.equal(gradient, torch.zeros(5, 3))
    assert torch.equal(after, importance)


def test_no_gradient_flows_through_the_importance():
    logits, target = random_batch(3, elements=(9,), classes=4)
    importance = torch.ones(4, dtype=torch.float64, requires_grad=True)
    loss, after = adaptive(logits.requires_grad_(), target, importance, alpha=0.3)
    loss.backward()
    assert importance.grad is None
    assert not after.requires_grad


@pytest.mark.parametrize("label_smoothing", [0.0, 0.2])
@pytest.mark.parametrize("elements", [(6,), (2, 3, 2)])
def test_the_gradient_is_that_of_finite_differences(elements, label_smoothing):
    logits, target = random_batch(1, elements=elements, classes=3, ignored=0.2)
    importance = torch.tensor([0.3, 1.0, 0.6], dtype=torch.float64)
    assert torch.autograd.gradcheck(
        lambda z: adaptive(z, target, importance, alpha=0.2, label_smoothing=label_smoothing)[0],
        logits.requires_grad_(),
    )


def test_sum_is_the_mean_times_the_kept_elements():
    logits, target = random_batch(5, elements=(40,), classes=4, ignored=0.3)
    weight = torch.rand(4, dtype=torch.float64)
    mean, total = (
        weighted_cross_entropy(logits, target, weight_C=weight, label_smoothing=0.1, reduction=reduction)
        for reduction in ("mean", "sum")
    )
    torch.testing.assert_close(mean * (target != -100).sum(), total)


def test_update_false_weights_by_the_importance_as_it_stands():
    logits, target = random_batch(6, elements=(12,), classes=3)
    importance = torch.tensor([0.5, 0.25, 1.0], dtype=torch.float64)
    loss, after = adaptive(logits, target, importance, alpha=0.9, update=False)
    assert torch.equal(after, importance)
    assert torch.equal(loss, weighted_cross_entropy(logits, target, weight_C=importance))


@pytest.mark.parametrize("elements", [(10,), (2, 3, 4)])
@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
@pytest.mark.parametrize("smooth", [False, True])
def test_members_in_front_equal_the_same_members_alone(elements, reduction, smooth):
    batches = [random_batch(seed, elements=elements, classes=5, ignored=0.2) for seed in range(6)]
    logits, target = (torch.stack(parts) for parts in zip(*batches, strict=True))
    importance, alpha = torch.rand(6, 5, dtype=torch.float64), torch.rand(6, dtype=torch.float64)
    smoothing = torch.rand(6, dtype=torch.float64) if smooth else torch.zeros(6, dtype=torch.float64)
    given = {"label_smoothing": smoothing} if smooth else {}
    loss, after = adaptive(logits, target, importance, alpha=alpha, reduction=reduction, class_dim=2, **given)
    for k in range(6):
        options = {"alpha": alpha[k].item(), "label_smoothing": smoothing[k].item(), "reduction": reduction}
        alone, alone_after = adaptive(logits[k], target[k], importance[k], **options)
        torch.testing.assert_close(loss[k], alone, rtol=1e-13, atol=1e-14)
        torch.testing.assert_close(after[k], alone_after, rtol=1e-14, atol=1e-15)


def test_a_member_with_a_class_that_there_is_not_is_told_of_and_not_counted_for_its_neighbour():
    logits, target = torch.zeros(2, 3, 4), torch.tensor([[0, 1, 4], [0, 1, 2]])
    with pytest.raises(IndexError):
        adaptive(logits, target, torch.ones(2, 4), alpha=0.1, class_dim=2)


@pytest.mark.parametrize("elements", [(10,), (2, 3, 4)])
def test_members_under_vmap_equal_the_same_members_alone(elements):
    batches = [random_batch(seed, elements=elements, classes=5, ignored=0.2) for seed in range(6)]
    logits = torch.stack([logits for logits, _ in batches]).requires_grad_()
    target = torch.stack([target for _, target in batches])
    importance, alpha, smoothing = (torch.rand(size, dtype=torch.float64) for size in ((6, 5), (6,), (6,)))

    def member(z, y, m, a, s):
        return adaptive(z, y, m, alpha=a, label_smoothing=s)

    loss, after = torch.func.vmap(member)(logits, target, importance, alpha, smoothing)
    (gradient,) = torch.autograd.grad(loss.sum(), logits)
    for k in range(6):
        alone_logits = logits[k].detach().requires_grad_()
        alone, alone_after = member(alone_logits, target[k], importance[k], alpha[k].item(), smoothing[k].item())
        torch.testing.assert_close(loss[k], alone, rtol=1e-13, atol=1e-14)
        torch.testing.assert_close(after[k], alone_after, rtol=1e-14, atol=1e-15)
        torch.testing.assert_close(gradient[k], torch.autograd.grad(alone, alone_logits)[0], rtol=1e-12, atol=1e-15)


def test_members_of_one_target_train_under_vmap_of_grad():
    logits, target = random_batch(2, elements=(8,), classes=3)
    stacked = torch.stack([logits, 2 * logits])
    importance = torch.ones(2, 3, dtype=torch.float64)

    def loss(z, m):
        return adaptive(z, target, m, alpha=0.5)

    gradients, _ = torch.func.vmap(torch.func.grad(loss, has_aux=True))(stacked, importance)
    for k in range(2):
        alone, _ = torch.func.grad(loss, has_aux=True)(stacked[k], importance[k])
        torch.testing.assert_close(gradients[k], alone, rtol=1e-12, atol=1e-15)


class _Forbidden(TorchDispatchMode):
    """Fails on every operator that would make the host wait, or whose shape depends on data."""

    NAMES = ("_local_scalar_dense", "nonzero", "unique", "masked_select", "bincount", "is_nonzero", "equal")

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        name = func.overloadpacket.__name__
        assert not name.startswith(self.NAMES), name
        return func(*args, **(kwargs or {}))


def test_no_operator_waits_for_data():
    logits, target = random_batch(4, elements=(3, 4, 5), classes=4, ignored=0.2)
    with _Forbidden():
        loss, _ = adaptive(logits.requires_grad_(), target, torch.ones(4), alpha=0.1, label_smoothing=0.1)
        loss.backward()
    with pytest.raises(AssertionError, match="_local_scalar_dense"), _Forbidden():
        loss.item()


def test_a_trace_of_one_batch_serves_another():
    def run(z, y, m):
        return adaptive(z, y, m, alpha=0.3, label_smoothing=0.1)

    importance = torch.ones(4, dtype=torch.float64)
    traced = make_fx(run)(*random_batch(0, elements=(20,), classes=4), importance)
    logits, target = random_batch(9, elements=(20,), classes=4, ignored=0.4)
    for got, expected in zip(traced(logits, target, importance), run(logits, target, importance), strict=True):
        assert torch.equal(got, expected)
