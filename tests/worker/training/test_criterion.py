"""The loss that a trial names."""

import pytest
import torch

import loss
from loss import AdaptiveLoss
from worker.training.criterion import build_criterion, loss_names

LOGITS = torch.tensor([[2.0, 0.0, 1.0], [0.0, 1.0, 0.0], [0.0, 0.0, 3.0]])
TARGET = torch.tensor([0, 2, 1])
COUNTS = torch.tensor([100, 10, 2])


def test_adaptive_is_a_module_with_the_trials_alpha() -> None:
    criterion = build_criterion("adaptive", params={"alpha": 0.25}, class_counts_C=COUNTS)
    assert isinstance(criterion, AdaptiveLoss)
    criterion(LOGITS, TARGET)
    assert criterion.importance.tolist() == [0.75, 1.0, 1.0]


def test_two_members_do_not_share_an_importance() -> None:
    first, second = (build_criterion("adaptive", params={}, class_counts_C=COUNTS) for _ in range(2))
    first(LOGITS, TARGET)
    assert isinstance(second, AdaptiveLoss)
    assert second.importance.eq(1).all()


def test_parameters_reach_the_loss() -> None:
    criterion = build_criterion("cross_entropy", params={"label_smoothing": 0.2}, class_counts_C=COUNTS)
    assert criterion(LOGITS, TARGET) == loss.cross_entropy(LOGITS, TARGET, label_smoothing=0.2)


def test_class_counts_reach_the_losses_that_ask_for_them() -> None:
    criterion = build_criterion("weighted", params={}, class_counts_C=COUNTS)
    assert criterion(LOGITS, TARGET) == loss.weighted(LOGITS, TARGET, class_counts=COUNTS)


def test_every_name_gives_a_mean_that_can_be_minimised() -> None:
    for name in loss_names():
        logits = LOGITS.clone().requires_grad_()
        value = build_criterion(name, params={}, class_counts_C=COUNTS)(logits, TARGET)
        (gradient,) = torch.autograd.grad(value, logits)
        assert value.ndim == 0
        assert gradient.ne(0).any()


def test_the_pieces_of_a_loss_are_no_loss() -> None:
    assert {"adaptive", "cross_entropy", "focal", "weighted", "balanced_softmax"} <= set(loss_names())
    assert not {"AdaptiveLoss", "class_errors", "update_importance", "weighted_cross_entropy"} & set(loss_names())


def test_unknown_losses_and_parameters_are_refused_with_the_known_ones() -> None:
    with pytest.raises(ValueError, match=r"among adaptive, .*cross_entropy.* got 'hinge'"):
        build_criterion("hinge", params={}, class_counts_C=COUNTS)
    with pytest.raises(ValueError, match=r"of adaptive among .*alpha.* got gamma"):
        build_criterion("adaptive", params={"gamma": 2.0}, class_counts_C=COUNTS)
    with pytest.raises(ValueError, match=r"of cross_entropy among .*label_smoothing.* got alpha"):
        build_criterion("cross_entropy", params={"alpha": 0.1}, class_counts_C=COUNTS)
