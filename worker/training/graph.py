"""A step recorded as a CUDA graph: one launch instead of hundreds, where the host cannot keep up with the GPU."""

from collections.abc import Callable

import torch
from torch import Tensor

_WARM_UP = 3
"""Steps before the recording, so that libraries have chosen their algorithms and memory is there."""


class Graphed:
    """Calls a step on tensors as it is at first and wherever shapes differ, else by replaying its recording.

    The step answers one tensor and changes others in place; what it reads besides its arguments keeps its place.
    """

    def __init__(self) -> None:
        """Records with the fourth call that has the shapes of the first."""
        self._calls = 0
        self._shapes: list[torch.Size] = []
        self._graph: torch.cuda.CUDAGraph | None = None
        self._given: list[Tensor] = []
        self._answer = torch.empty(0)

    def __call__(self, step: Callable[..., Tensor], *tensors: Tensor) -> Tensor:
        """The step's answer to these tensors, which lie on a GPU; it is the same step each time."""
        shapes = [tensor.shape for tensor in tensors]
        self._shapes = self._shapes or shapes
        if shapes != self._shapes:
            return step(*tensors)
        if self._calls < _WARM_UP:
            self._calls += 1
            return _aside(step, tensors)
        if self._graph is None:
            given, graph = [tensor.clone() for tensor in tensors], torch.cuda.CUDAGraph()
            with torch.cuda.graph(graph):
                self._answer = step(*given)
            self._given, self._graph = given, graph
        for own, tensor in zip(self._given, tensors, strict=True):
            own.copy_(tensor)
        self._graph.replay()
        return self._answer.clone()


def _aside(step: Callable[..., Tensor], tensors: tuple[Tensor, ...]) -> Tensor:
    stream = torch.cuda.Stream()  # type: ignore[no-untyped-call]  # torch has no annotation here
    stream.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(stream):
        answer = step(*tensors)
    torch.cuda.current_stream().wait_stream(stream)
    return answer
