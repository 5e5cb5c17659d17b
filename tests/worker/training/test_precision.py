"""What numbers are multiplied in."""

import pytest
import torch

from worker.training.precision import computing
from worker.training.trial import Precision

CPU = torch.device("cpu")


@pytest.mark.parametrize(("precision", "within"), [("float32", "ieee"), ("tf32", "tf32"), ("bfloat16", "ieee")])
def test_torch_computes_as_asked_and_is_left_as_it_was(precision: Precision, within: str) -> None:
    switches = torch.backends.cuda.matmul, torch.backends.cudnn.conv  # type: ignore[attr-defined]
    before = [switch.fp32_precision for switch in switches]
    factors = torch.ones(2, 2)
    with pytest.raises(KeyError), computing(precision, CPU):
        assert [switch.fp32_precision for switch in switches] == [within] * 2
        assert (factors @ factors).dtype == (torch.bfloat16 if precision == "bfloat16" else torch.float32)
        raise KeyError
    assert [switch.fp32_precision for switch in switches] == before
    assert (factors @ factors).dtype == torch.float32
