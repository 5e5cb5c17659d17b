"""The losses that trials name, one a member."""

from dataclasses import replace

import pytest
import torch

import loss
from worker.training.criterion import Criterion, check_loss, loss_names
from worker.training.trial import TrialSpec

LOGITS = torch.tensor([[2.0, 0.0, 1.0], [0.0, 1.0, 0.0], [0.0, 0.0, 3.0]])
TARGET = torch.tensor([0, 2, 1])
COUNTS = torch.tensor([100, 10, 2])


def criterion(plain: TrialSpec, *losses: tuple[str, dict[str, float | str]]) -> Criterion:
    """The losses of members that differ in them alone."""
    specs = [replace(plain, loss=name, loss_params=params) for name, params in losses]
    return Criterion(specs, COUNTS.expand(len(specs), -1), torch.ones(len(specs), 3))


def stacked(tensor: torch.Tensor, members: int) -> torch.Tensor:
    return tensor.expand(members, *tensor.shape)


def test_each_member_moves_an_importance_of_its_own(plain: TrialSpec) -> None:
    both = criterion(plain, ("adaptive", {"alpha": 0.25}), ("focal", {}), ("adaptive", {"alpha": 0.5}))
    both(stacked(LOGITS, 3), stacked(TARGET, 3))
    assert both.adaptive == [0, 2]
    assert both.importance_KC.tolist() == [[0.75, 1.0, 1.0], [1.0, 1.0, 1.0], [0.5, 1.0, 1.0]]


def test_names_numbers_words_and_class_counts_reach_the_losses(plain: TrialSpec) -> None:
    chosen: list[tuple[str, dict[str, float | str]]] = [
        ("cross_entropy", {"label_smoothing": 0.2}),
        ("weighted", {"reduction": "weighted_mean"}),
        ("weighted", {}),
        ("focal", {"gamma": 0.5}),
        ("focal", {"gamma": 3.0}),
    ]
    expected = [
        loss.cross_entropy(LOGITS, TARGET, label_smoothing=0.2),
        loss.weighted(LOGITS, TARGET, class_counts=COUNTS, reduction="weighted_mean"),
        loss.weighted(LOGITS, TARGET, class_counts=COUNTS),
        loss.focal(LOGITS, TARGET, gamma=0.5),
        loss.focal(LOGITS, TARGET, gamma=3.0),
    ]
    together = criterion(plain, *chosen)(stacked(LOGITS, 5), stacked(TARGET, 5))
    torch.testing.assert_close(together, torch.stack(expected))
    for one, value in zip(chosen, expected, strict=True):
        torch.testing.assert_close(criterion(plain, one)(LOGITS[None], TARGET[None]), value[None])


def test_every_name_gives_a_mean_that_can_be_minimised(plain: TrialSpec) -> None:
    for name in loss_names():
        logits = LOGITS.clone()[None].requires_grad_()
        params: dict[str, float | str] = {"alpha": 0.1} if name == "adaptive" else {}
        (value,) = criterion(plain, (name, params))(logits, TARGET[None])
        (gradient,) = torch.autograd.grad(value, logits)
        assert gradient.ne(0).any()


def test_the_pieces_of_a_loss_are_no_loss() -> None:
    assert {"adaptive", "cross_entropy", "focal", "weighted", "balanced_softmax"} <= set(loss_names())
    assert not {"AdaptiveLoss", "class_errors", "update_importance", "weighted_cross_entropy"} & set(loss_names())


def test_unknown_losses_and_parameters_are_refused_with_the_known_ones() -> None:
    with pytest.raises(ValueError, match=r"among adaptive, .*cross_entropy.* got 'hinge'"):
        check_loss("hinge", {})
    with pytest.raises(ValueError, match=r"of adaptive among .*alpha.* got gamma"):
        check_loss("adaptive", {"gamma": 2.0})
    for name in ("logits", "target", "class_counts", "class_dim", "ignore_index"):
        with pytest.raises(ValueError, match=rf"of weighted among reduction, got {name}"):
            check_loss("weighted", {name: 1.0})
    with pytest.raises(ValueError, match=r"of cross_entropy among .*label_smoothing.* got alpha"):
        check_loss("cross_entropy", {"alpha": 0.1})


@pytest.mark.parametrize(
    ("name", "params", "said"),
    [
        ("adaptive", {}, "Expected alpha of adaptive, got none"),
        ("adaptive", {"alpha": "x"}, "Expected alpha of adaptive to be a number, got 'x'"),
        ("focal", {"gamma": "2"}, "Expected gamma of focal to be a number, got '2'"),
        ("weighted", {"reduction": "sum"}, "Expected reduction of weighted to be mean or weighted_mean, got 'sum'"),
        ("weighted", {"reduction": 1.0}, "Expected reduction of weighted to be mean or weighted_mean, got 1.0"),
    ],
)
def test_a_value_that_a_loss_lacks_or_cannot_take_is_refused_before_the_first_epoch(
    name: str, params: dict[str, float | str], said: str, plain: TrialSpec
) -> None:
    with pytest.raises(ValueError, match=said):
        criterion(plain, (name, params))
