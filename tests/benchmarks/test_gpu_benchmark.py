"""The benchmark of GPUs, on a CPU: stacks and processes apart are timed in turns, and losing these stops nothing."""

from collections.abc import Iterator
from dataclasses import replace

import pytest
import torch

from benchmarks.gpu import OVER_ONE, by_width, planned
from benchmarks.gpu_sides import Apart, Gone

PLAN = replace(planned(torch.device("cpu"), quick=True), widths=(2,))
APART = f"over {PLAN.processes} processes"


@pytest.fixture
def apart() -> Iterator[Apart]:
    processes = Apart(PLAN)
    yield processes
    processes.leave()


@pytest.mark.slow
def test_processes_take_turns_with_stacks_until_one_is_lost(apart: Apart) -> None:
    (row,) = by_width("mlp", apart, PLAN)
    assert {OVER_ONE, APART} <= row.keys()

    apart._processes[0].kill()
    with pytest.raises(Gone):
        apart()

    assert not apart.is_there
    (row,) = by_width("mlp", apart, PLAN)
    assert OVER_ONE in row and APART not in row
