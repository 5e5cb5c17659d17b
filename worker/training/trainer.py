"""Training of many members side by side, epoch by epoch, each as if it were alone.

Data are on the device before the first step, and what was seen comes back in one transfer an epoch. On a CPU
a member's numbers depend on its trial and seed and on torch's thread count, which sets the order of sums; not
on its neighbours nor on what ran before. Torch's global generators and thread count are left as they are.
"""

import math
import time
from collections.abc import Iterable, Iterator, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from .data import DeviceData
from .evaluation import Counts
from .learner import Learner, Trace
from .record import EpochRecord, Evaluation
from .trial import Member, TrialSpec


class Training:
    """Members in training on one data set, known by their positions in `members`.

    Raises ValueError where a trial names a model, loss, optimizer or parameter that there is not.
    """

    def __init__(self, members: Sequence[Member], data: DeviceData) -> None:
        """Builds every member's model, optimizer and loss on the data's device."""
        self._data = data
        self._learners = {position: Learner(member, data) for position, member in enumerate(members)}
        self._epoch = 0

    @property
    def epoch(self) -> int:
        """Epochs trained so far."""
        return self._epoch

    @property
    def live(self) -> tuple[int, ...]:
        """Positions of the members that are held and have epochs left to train."""
        return tuple(at for at, learner in self._learners.items() if self._epoch < learner.spec.epochs)

    def run_epoch(self) -> list[EpochRecord]:
        """One more epoch of every live member, and a record of each, in the order of their positions.

        A member whose loss is no longer finite costs the others nothing: its record says why in `failure`,
        and it is dropped. Where no member is live, nothing happens and nothing is returned.
        """
        began = time.perf_counter()
        positions = self.live
        if not positions:
            return []
        self._epoch += 1
        seen: list[tuple[Trace, Counts]] = []
        for position in positions:
            learner = self._learners[position]
            seen.append((learner.train_epoch(self._epoch), learner.validate()))
        arrays = iter(_to_host([tensor for trace, counts in seen for tensor in _tensors(trace, counts)]))
        seconds = (time.perf_counter() - began) / len(positions)
        records = [
            self._record(position, trace, arrays=arrays, seconds=seconds)
            for position, (trace, _) in zip(positions, seen, strict=True)
        ]
        self.drop(record.member for record in records if record.failure is not None)
        return records

    def drop(self, positions: Iterable[int]) -> None:
        """Lets go of members (pruned, cancelled or done with) and of the memory that they took."""
        for position in positions:
            self._held(position)
            del self._learners[position]

    def test(self, positions: Iterable[int]) -> list[Evaluation]:
        """How each of these members does on the test set as it stands now."""
        counts = [self._held(position).test() for position in positions]
        arrays = _to_host([tensor for one in counts for tensor in (one.confusion_CC, one.nll)])
        return [_evaluation(*pair) for pair in zip(arrays[::2], arrays[1::2], strict=True)]

    def predict(self, position: int, inputs: NDArray[np.float32] | NDArray[np.uint8]) -> NDArray[np.int64]:
        """The class that a member gives to each input of the data set's kind: (N,) or (N, H, W)."""
        labels: NDArray[np.int64] = self._held(position).predict(torch.tensor(inputs)).cpu().numpy()
        return labels

    def _held(self, position: int) -> Learner:
        if position not in self._learners:
            held = ", ".join(map(str, self._learners)) or "none"
            raise ValueError(f"Expected a member still held ({held}), got {position}. Ask before dropping it.")
        return self._learners[position]

    def _record(
        self,
        position: int,
        trace: Trace,
        *,
        arrays: Iterator[NDArray[np.float64]],
        seconds: float,
    ) -> EpochRecord:
        loss_S, counted_S, mean_weight, confusion_CC, nll = (next(arrays) for _ in range(5))
        importance_SC = None if trace.importance_SC is None else next(arrays).astype(np.float32)
        return EpochRecord(
            member=position,
            epoch=self._epoch,
            steps=len(trace.sizes),
            samples=sum(trace.sizes),
            lr=trace.rates[-1],
            train_loss=_weighted_mean(loss_S, counted_S),
            mean_weight=float(mean_weight),
            importance_SC=importance_SC,
            validation=_evaluation(confusion_CC, nll),
            seconds=seconds,
            failure=_failure(self._learners[position].spec, epoch=self._epoch, loss_S=loss_S, nll=float(nll)),
        )


def _weighted_mean(loss_S: NDArray[np.float64], counted_S: NDArray[np.float64]) -> float:
    return float((loss_S * counted_S).sum() / max(counted_S.sum(), 1))


def _tensors(trace: Trace, counts: Counts) -> list[Tensor]:
    tensors = [trace.loss_S, trace.counted_S, trace.mean_weight, counts.confusion_CC, counts.nll]
    return tensors if trace.importance_SC is None else [*tensors, trace.importance_SC]


def _to_host(tensors: Sequence[Tensor]) -> list[NDArray[np.float64]]:
    # One transfer for all of them; float64 holds float32 and every count below 2**53 exactly.
    if not tensors:
        return []
    flat = torch.cat([tensor.flatten().double().to(tensors[0].device) for tensor in tensors]).cpu().numpy()
    ends = np.cumsum([tensor.numel() for tensor in tensors])
    parts = np.split(flat, ends[:-1])
    return [part.reshape(tensor.shape) for part, tensor in zip(parts, tensors, strict=True)]


def _evaluation(confusion_CC: NDArray[np.float64], nll: NDArray[np.float64]) -> Evaluation:
    return Evaluation(confusion_CC=confusion_CC.astype(np.int64), nll=float(nll))


def _failure(spec: TrialSpec, *, epoch: int, loss_S: NDArray[np.float64], nll: float) -> str | None:
    bad_S = np.flatnonzero(~np.isfinite(loss_S))
    if len(bad_S):
        what = f"The training loss became {loss_S[bad_S[0]]} at step {bad_S[0] + 1} of epoch {epoch}"
    elif not math.isfinite(nll):
        what = f"The validation loss became {nll} in epoch {epoch}"
    else:
        return None
    params = "".join(f", {name} {value}" for name, value in spec.loss_params.items())
    point = f"loss {spec.loss}{params}, lr {spec.lr:g}"
    return f"{what} ({point}): expected a finite number. Lower lr or its range, or add warm-up epochs."
