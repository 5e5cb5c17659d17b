"""Log probabilities of members in a stack, which on a CPU are computed with classes that there are not."""

from functools import partial

import pytest
import torch

from loss.functional import log_softmax


@pytest.mark.parametrize("classes", [1, 2, 10, 15, 16, 17])
@pytest.mark.parametrize("inner", [(), (3,)])
def test_log_probabilities_of_a_stack_and_their_gradient_are_torchs(classes, inner):
    logits = 10 * torch.randn(3, 7, classes, *inner, dtype=torch.float64)
    logits[0, 0] = -torch.inf
    logits[0, 0, 0] = 5.0  # sure of one class
    logits[0, 1] = torch.inf
    slope = torch.randn_like(logits)
    found, expected = [], []
    for log_probabilities, results in (
        (partial(log_softmax, class_dim=2), found),
        (partial(torch.log_softmax, dim=2), expected),
    ):
        leaf = logits.clone().requires_grad_()
        answer = log_probabilities(leaf)
        results += [answer.detach(), *torch.autograd.grad(answer[:, 2:], leaf, slope[:, 2:])]
    for one, other in zip(found, expected, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-13, atol=1e-13, equal_nan=True)
