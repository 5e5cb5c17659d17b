"""The baselines: golden values, limits, gradients, and classes without training elements."""

from functools import partial

import pytest
import torch
import torch.nn.functional as F

from loss import balanced_softmax, cross_entropy, focal, weighted

from .oracle import LOGITS, TARGET, random_batch

COUNTS = torch.tensor([100, 10, 2])

LOSSES = {
    "cross_entropy": cross_entropy,
    "smoothed": partial(cross_entropy, label_smoothing=0.1),
    "focal": focal,
    "focal, gamma 0.5": partial(focal, gamma=0.5),
    "weighted": partial(weighted, class_counts=COUNTS),
    "weighted, weighted_mean": partial(weighted, class_counts=COUNTS, reduction="weighted_mean"),
    "balanced_softmax": partial(balanced_softmax, class_counts=COUNTS),
}
each_loss = pytest.mark.parametrize("loss", LOSSES.values(), ids=LOSSES.keys())


@pytest.mark.parametrize(
    ("loss", "expected"),
    [
        (cross_entropy, 0.7367717129),
        (partial(focal, gamma=1.0), 0.4772005828),
        (focal, 0.3441363658),
        (partial(weighted, class_counts=COUNTS), 0.2188796004),
        (partial(weighted, class_counts=COUNTS, reduction="weighted_mean"), 0.3657987842),
        (partial(balanced_softmax, class_counts=COUNTS), 0.9807610432),
    ],
)
def test_golden_values(loss, expected):
    assert loss(LOGITS, TARGET).item() == pytest.approx(expected, abs=5e-11)


@each_loss
def test_the_gradient_is_that_of_finite_differences(loss):
    for elements in ((6,), (2, 2, 3)):
        logits, target = random_batch(1, elements=elements, classes=3, ignored=0.2)
        assert torch.autograd.gradcheck(lambda z, y=target: loss(z, y), logits.requires_grad_())


@each_loss
def test_ignored_elements_change_nothing(loss):
    ignored = torch.full((4,), -100)
    with_ignored = loss(torch.cat([LOGITS, torch.randn(4, 3, dtype=torch.float64)]), torch.cat([TARGET, ignored]))
    torch.testing.assert_close(with_ignored, loss(LOGITS, TARGET), rtol=1e-14, atol=0)


@each_loss
def test_a_batch_of_ignored_elements_has_no_loss_and_no_gradient(loss):
    logits = torch.randn(5, 3, requires_grad=True)
    value = loss(logits, torch.full((5,), -100))
    value.backward()
    assert value.item() == 0
    assert torch.equal(logits.grad, torch.zeros(5, 3))


@each_loss
def test_dense_labels_are_elements_like_any_other(loss):
    logits, target = random_batch(2, elements=(3, 4, 5), classes=3, ignored=0.2)
    flat = loss(logits.movedim(1, -1).reshape(-1, 3), target.flatten())
    torch.testing.assert_close(loss(logits, target), flat, rtol=1e-13, atol=0)


@each_loss
def test_members_under_vmap_equal_the_same_members_alone(loss):
    batches = [random_batch(seed, elements=(9,), classes=3, ignored=0.2) for seed in range(4)]
    logits, target = (torch.stack(parts) for parts in zip(*batches, strict=True))
    alone = torch.stack([loss(*batch) for batch in batches])
    torch.testing.assert_close(torch.func.vmap(loss)(logits, target), alone, rtol=1e-13, atol=0)


@pytest.mark.parametrize("elements", [(9,), (2, 3, 4)])
def test_members_in_front_equal_the_same_members_alone(elements):
    batches = [random_batch(seed, elements=elements, classes=3, ignored=0.2) for seed in range(4)]
    logits, target = (torch.stack(parts) for parts in zip(*batches, strict=True))
    counts = torch.tensor([[9, 3, 1], [5, 5, 5], [1, 0, 7], [2, 4, 8]])
    gammas = torch.tensor([0.0, 0.5, 2.0, 3.0], dtype=torch.float64)
    for loss, by_member in (
        (cross_entropy, {}),
        (focal, {"gamma": gammas}),
        (weighted, {"class_counts": counts}),
        (partial(weighted, reduction="weighted_mean"), {"class_counts": counts}),
        (balanced_softmax, {"class_counts": counts}),
    ):
        together = loss(logits, target, class_dim=2, **by_member)
        alone = [loss(*batch, **{name: of[k] for name, of in by_member.items()}) for k, batch in enumerate(batches)]
        torch.testing.assert_close(together, torch.stack(alone), rtol=1e-12, atol=1e-14)


def test_members_may_have_a_gamma_each():
    gammas = torch.tensor([0.0, 0.5, 2.0], dtype=torch.float64)
    together = torch.func.vmap(lambda gamma: focal(LOGITS, TARGET, gamma=gamma))(gammas)
    alone = torch.stack([focal(LOGITS, TARGET, gamma=gamma) for gamma in gammas.tolist()])
    torch.testing.assert_close(together, alone, rtol=1e-13, atol=0)


@each_loss
def test_the_whole_loss_is_one_graph(loss):
    compiled = torch.compile(loss, fullgraph=True, backend="eager")
    torch.testing.assert_close(compiled(LOGITS, TARGET), loss(LOGITS, TARGET), rtol=1e-14, atol=0)


@each_loss
def test_half_precision_logits_are_computed_in_float32(loss):
    logits = LOGITS.bfloat16()
    assert loss(logits, TARGET).dtype == torch.float32
    assert torch.equal(loss(logits, TARGET), loss(logits.float(), TARGET))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_cross_entropy_is_torchs_to_the_last_bit(dtype):
    for seed in range(200):
        logits, target = random_batch(seed, elements=(1 + seed,), classes=7)
        logits = logits.to(dtype)
        assert torch.equal(cross_entropy(logits, target), F.cross_entropy(logits, target))


def test_gamma_0_is_cross_entropy():
    torch.testing.assert_close(focal(LOGITS, TARGET, gamma=0.0), cross_entropy(LOGITS, TARGET), rtol=1e-14, atol=0)


@pytest.mark.parametrize("gamma", [0.0, 0.01, 0.5, 1.0, 2.0])
def test_focal_of_a_certain_and_right_prediction_has_a_finite_gradient(gamma):
    logits = torch.tensor([[200.0, 0.0], [-200.0, 0.0]], requires_grad=True)
    loss = focal(logits, torch.tensor([0, 0]), gamma=gamma)
    loss.backward()
    assert loss.item() == pytest.approx(100)
    assert logits.grad.isfinite().all()
    assert logits.grad[0].tolist() == [0, 0]


def test_the_weighted_mean_is_torchs_own():
    weight = 3 / COUNTS.double() / (1 / COUNTS.double()).sum()
    torch.testing.assert_close(
        weighted(LOGITS, TARGET, class_counts=COUNTS, reduction="weighted_mean"),
        F.cross_entropy(LOGITS, TARGET, weight=weight),
        rtol=1e-14,
        atol=0,
    )


def test_equal_counts_make_weights_of_one():
    for reduction in ("mean", "weighted_mean"):
        torch.testing.assert_close(
            weighted(LOGITS, TARGET, class_counts=torch.tensor([7, 7, 7]), reduction=reduction),
            cross_entropy(LOGITS, TARGET),
        )


def test_shares_serve_as_well_as_counts():
    shares = COUNTS.double() / COUNTS.sum()
    for loss in (weighted, balanced_softmax):
        torch.testing.assert_close(loss(LOGITS, TARGET, class_counts=shares), loss(LOGITS, TARGET, class_counts=COUNTS))


def test_a_class_without_training_elements_weighs_nothing():
    counts = torch.tensor([30, 10, 0])
    one_of_each = torch.zeros(3, 3, dtype=torch.float64)
    each = [weighted(one_of_each[:1], torch.tensor([label]), class_counts=counts).item() for label in range(3)]
    base = cross_entropy(one_of_each[:1], torch.tensor([0])).item()
    assert [value / base for value in each] == pytest.approx([0.75, 2.25, 0.0])
    only_absent = weighted(one_of_each[:1], torch.tensor([2]), class_counts=counts, reduction="weighted_mean")
    assert only_absent.item() == 0


def test_a_class_without_training_elements_is_left_out_of_the_softmax():
    target = torch.tensor([0, 1])
    logits = torch.tensor([[1.0, 2.0, 9.0], [0.0, 1.0, 9.0]], requires_grad=True)
    loss = balanced_softmax(logits, target, class_counts=torch.tensor([30, 10, 0]))
    expected = balanced_softmax(logits[:, :2], target, class_counts=torch.tensor([30, 10]))
    torch.testing.assert_close(loss, expected)
    loss.backward()
    assert logits.grad[:, 2].abs().max().item() < 1e-30


def test_a_class_without_training_elements_as_target_stays_finite():
    logits = torch.zeros(1, 3, requires_grad=True)
    for loss in (weighted, balanced_softmax):
        value = loss(logits, torch.tensor([2]), class_counts=torch.tensor([30, 10, 0]))
        value.backward()
        assert value.isfinite()
        assert logits.grad.isfinite().all()
