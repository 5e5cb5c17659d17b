"""The benchmark of GPUs, on a CPU: stacks and processes apart are timed in turns, and losing these stops nothing."""

from collections.abc import Iterator
from dataclasses import replace

import pytest
import torch

from benchmarks.gpu import OVER_ONE, by_width, planned
from benchmarks.gpu_sides import Apart, Gone, Plan


@pytest.fixture
def plan() -> Plan:
    """Made for this test: it has a deadline."""
    return replace(planned(torch.device("cpu"), quick=True), widths=(2,))


@pytest.fixture
def apart(plan: Plan) -> Iterator[Apart]:
    processes = Apart(plan)
    yield processes
    processes.leave()


@pytest.mark.slow
def test_processes_take_turns_with_stacks_until_one_is_lost(apart: Apart, plan: Plan) -> None:
    over_processes = f"over {plan.processes} processes"
    (row,) = by_width("mlp", apart, plan)
    assert {OVER_ONE, over_processes} <= row.keys()

    apart._processes[0].kill()
    with pytest.raises(Gone):
        apart()

    assert not apart.is_there
    (row,) = by_width("mlp", apart, plan)
    assert OVER_ONE in row and over_processes not in row
