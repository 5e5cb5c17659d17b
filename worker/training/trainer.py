"""Training of many members side by side, epoch by epoch, each as if it were alone.

Data are on the device before the first step, and what was seen comes back in one transfer an epoch. On a CPU
a member's numbers depend on its trial and seed, on torch's thread count and on the size of its cohort, which set the
order of sums; not on what its neighbours learn nor on what ran before. Torch's global generators and thread count are
left as they are.
"""

import math
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import fields, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from .cohort import Cohort, Trace
from .data import DeviceData
from .evaluation import Counts
from .models import build_model
from .record import EpochRecord, Evaluation
from .stacked import can_stack
from .trial import Member, TrialSpec


class Training:
    """Members in training on one data set, known by their positions in `members`.

    Members that differ in numbers alone (loss, alpha, learning rate, seed, …) learn as one cohort; those whose steps
    differ, whose model cannot be stacked, or is not the quicker for it, learn in a cohort of their own.

    Raises ValueError where a trial names a model, loss, optimizer or parameter that there is not.
    """

    def __init__(self, members: Sequence[Member], data: DeviceData) -> None:
        """Builds every member's model, optimizer and loss on the data's device."""
        self._data = data
        self._cohorts = [
            (positions, Cohort([members[position] for position in positions], data))
            for positions in _alike(members, data)
        ]
        self._specs = {position: member.trial for position, member in enumerate(members)}
        self._epoch = 0

    @property
    def epoch(self) -> int:
        """Epochs trained so far."""
        return self._epoch

    @property
    def live(self) -> tuple[int, ...]:
        """Positions of the members that are held and have epochs left to train."""
        return tuple(sorted(position for positions, _ in self._learning() for position in positions))

    def run_epoch(self) -> list[EpochRecord]:
        """One more epoch of every live member, and a record of each, in the order of their positions.

        A member whose loss is no longer finite costs the others nothing: its record says why in `failure`,
        and it is dropped. Where no member is live, nothing happens and nothing is returned.
        """
        began = time.perf_counter()
        learning = self._learning()
        if not learning:
            return []
        self._epoch += 1
        seen = [(cohort.train_epoch(self._epoch), cohort.validate()) for _, cohort in learning]
        arrays = iter(_to_host([tensor for trace, counts in seen for tensor in _tensors(trace, counts)]))
        seconds = (time.perf_counter() - began) / sum(len(positions) for positions, _ in learning)
        records = [
            record
            for (positions, cohort), (trace, _) in zip(learning, seen, strict=True)
            for record in self._records(positions, cohort, trace, arrays=arrays, seconds=seconds)
        ]
        self.drop(record.member for record in records if record.failure is not None)
        return sorted(records, key=lambda record: record.member)

    def drop(self, positions: Iterable[int]) -> None:
        """Lets go of members (pruned, cancelled or done with) and of the memory that they took."""
        going = set(positions)
        for position in going:
            self._held(position)
        left = []
        for held, cohort in self._cohorts:
            staying = [k for k, position in enumerate(held) if position not in going]
            if staying and len(staying) < len(held):
                cohort.keep(staying)
            if staying:
                left.append(([held[k] for k in staying], cohort))
        self._cohorts = left

    def test(self, positions: Iterable[int]) -> list[Evaluation]:
        """How each of these members does on the test set as it stands now."""
        asked = [self._held(position) for position in positions]
        counts = {id(cohort): cohort.test() for cohort, _ in asked}
        tensors = [
            tensor
            for cohort, k in asked
            for tensor in (counts[id(cohort)].confusion_KCC[k], counts[id(cohort)].nll_K[k])
        ]
        arrays = _to_host(tensors)
        return [_evaluation(*pair) for pair in zip(arrays[::2], arrays[1::2], strict=True)]

    def predict(self, position: int, inputs: NDArray[np.float32] | NDArray[np.uint8]) -> NDArray[np.int64]:
        """The class that a member gives to each input of the data set's kind: (N,) or (N, H, W)."""
        cohort, k = self._held(position)
        labels: NDArray[np.int64] = cohort.predict(k, torch.tensor(inputs)).cpu().numpy()
        return labels

    def _learning(self) -> list[tuple[list[int], Cohort]]:
        return [(positions, cohort) for positions, cohort in self._cohorts if self._epoch < cohort.spec.epochs]

    def _held(self, position: int) -> tuple[Cohort, int]:
        for positions, cohort in self._cohorts:
            if position in positions:
                return cohort, positions.index(position)
        held = ", ".join(str(position) for positions, _ in self._cohorts for position in positions) or "none"
        raise ValueError(f"Expected a member still held ({held}), got {position}. Ask before dropping it.")

    def _records(
        self,
        positions: Sequence[int],
        cohort: Cohort,
        trace: Trace,
        *,
        arrays: Iterator[NDArray[np.float64]],
        seconds: float,
    ) -> list[EpochRecord]:
        loss_SK, counted_SK, mean_weight_K, confusion_KCC, nll_K = (next(arrays) for _ in range(5))
        importance = {}
        if trace.importance_SAC is not None:
            importance_SAC = next(arrays).astype(np.float32)
            importance = {k: importance_SAC[:, a] for a, k in enumerate(cohort.adaptive)}
        return [
            EpochRecord(
                member=position,
                epoch=self._epoch,
                steps=len(trace.sizes),
                samples=sum(trace.sizes),
                lr=self._specs[position].lr * trace.factors[-1],
                train_loss=_weighted_mean(loss_SK[:, k], counted_SK[:, k]),
                mean_weight=float(mean_weight_K[k]),
                importance_SC=importance.get(k),
                validation=_evaluation(confusion_KCC[k], nll_K[k]),
                seconds=seconds,
                failure=_failure(self._specs[position], epoch=self._epoch, loss_S=loss_SK[:, k], nll=float(nll_K[k])),
            )
            for k, position in enumerate(positions)
        ]


def _alike(members: Sequence[Member], data: DeviceData) -> list[list[int]]:
    """Positions of the members that can learn as one, in the order of the first of each."""
    groups: dict[tuple[object, ...], list[int]] = {}
    for position, member in enumerate(members):
        trial = member.trial
        shared = replace(trial, loss="", loss_params={}, lr=0.0, momentum=0.0, weight_decay=0.0, model_params={})
        sizes = tuple(sorted(trial.model_params.items())), len(member.train_index), len(member.validation_index)
        alone = None if _pays_stacked(trial, data) else position
        key = (*(getattr(shared, field.name) for field in fields(shared) if "params" not in field.name), *sizes, alone)
        groups.setdefault(key, []).append(position)
    return list(groups.values())


def _pays_stacked(trial: TrialSpec, data: DeviceData) -> bool:
    """Whether members of this model can be stacked, and are the quicker for it (docs/decisions/0007)."""
    with torch.device("meta"):
        model = build_model(
            trial.model, input_shape=data.input_shape, classes=data.classes, params=trial.model_params, seed=0
        )
    convolves = any(isinstance(module, nn.Conv2d) for module in model.modules())
    return can_stack(model) and not (convolves and data.device.type == "cpu")


def _weighted_mean(loss_S: NDArray[np.float64], counted_S: NDArray[np.float64]) -> float:
    return float((loss_S * counted_S).sum() / max(counted_S.sum(), 1))


def _tensors(trace: Trace, counts: Counts) -> list[Tensor]:
    tensors = [trace.loss_SK, trace.counted_SK, trace.mean_weight_K, counts.confusion_KCC, counts.nll_K]
    return tensors if trace.importance_SAC is None else [*tensors, trace.importance_SAC]


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
