"""What is seen of a member: after every epoch, and when it is tested."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from .criterion import ADAPTIVE
from .evaluation import Counts
from .memory import while_memory_lasts
from .trace import Trace
from .trial import TrialSpec


@dataclass(frozen=True, eq=False, kw_only=True, slots=True)
class Evaluation:
    """How a model did on some samples: `confusion_CC` counts them, rows true classes, columns predicted.

    `nll` is the mean negative log-likelihood of the raw logits in nats: plain, whatever the loss of the
    training.
    """

    confusion_CC: NDArray[np.int64]
    nll: float


@dataclass(frozen=True, eq=False, kw_only=True, slots=True)
class EpochRecord:
    """One epoch of one member.

    `member` is its position in the training, `epoch` counts from 1. `lr` is the learning rate of the last
    step. `train_loss` (as minimised, importance included) and `mean_weight` are means over the epoch's
    `samples`, each taken at its own step; `mean_weight` is the mean importance of the samples' classes, the
    factor by which the loss changes the learning rate (1.0 for losses without importance). Of an epoch whose pixels
    are all ignored they are 0 and 1. `importance_SC` is the importance after every step (steps, classes), float32,
    None for losses without. `seconds` is the wall time of the epoch divided by the members trained in it.

    `failure` says why the member was dropped, None while all is well. A failed member's numbers are what the
    broken model gave, for the record only.
    """

    member: int
    epoch: int
    steps: int
    samples: int
    lr: float
    train_loss: float
    mean_weight: float
    importance_SC: NDArray[np.float32] | None
    validation: Evaluation
    seconds: float
    failure: str | None


Seen = tuple[Sequence[int], Trace, Counts]
"""An epoch of a cohort: its members' positions, their course and their validation, still on the device."""


def epoch_records(seen: Sequence[Seen], *, seconds: float) -> list[EpochRecord]:
    """The records of every member of some cohorts, in one transfer; `seconds` is what the epoch took a member."""
    arrays = iter(to_host([tensor for _, trace, counts in seen for tensor in _tensors(trace, counts)]))
    return [record for one in seen for record in _records(*one, arrays=arrays, seconds=seconds)]


def to_host(tensors: Sequence[Tensor]) -> list[NDArray[np.float64]]:
    """The tensors in float64, which holds float32 and every count below 2**53 exactly; in one transfer if it fits."""
    if not tensors:
        return []
    with while_memory_lasts():
        flat = torch.cat([tensor.flatten().double().to(tensors[0].device) for tensor in tensors]).cpu().numpy()
        parts = np.split(flat, np.cumsum([tensor.numel() for tensor in tensors])[:-1])
        return [part.reshape(tensor.shape) for part, tensor in zip(parts, tensors, strict=True)]
    return [tensor.cpu().double().numpy() for tensor in tensors]


def evaluation_of(confusion_CC: NDArray[np.float64], nll: NDArray[np.float64]) -> Evaluation:
    """An evaluation from what a device counted."""
    return Evaluation(confusion_CC=confusion_CC.astype(np.int64), nll=float(nll))


def _records(
    positions: Sequence[int],
    trace: Trace,
    _: Counts,
    *,
    arrays: Iterator[NDArray[np.float64]],
    seconds: float,
) -> list[EpochRecord]:
    loss_SK, counted_SK, mean_weight_K, confusion_KCC, nll_K = (next(arrays) for _ in range(5))
    importance = {}
    if trace.importance_SAC is not None:
        adaptive = [k for k, member in enumerate(trace.members) if member.trial.loss == ADAPTIVE]
        importance_SAC = next(arrays).astype(np.float32)
        importance = {k: importance_SAC[:, a] for a, k in enumerate(adaptive)}
    trials = [member.trial for member in trace.members]
    validations = map(evaluation_of, confusion_KCC, nll_K)
    return [
        EpochRecord(
            member=position,
            epoch=epoch,
            steps=len(trace.sizes),
            samples=sum(trace.sizes),
            lr=trials[k].lr * float(trace.factors_SK[-1, k]),
            train_loss=_weighted_mean(loss_SK[:, k], counted_SK[:, k]),
            mean_weight=float(mean_weight_K[k]),
            importance_SC=importance.get(k),
            validation=validation,
            seconds=seconds,
            failure=_failure(trials[k], epoch=epoch, loss_S=loss_SK[:, k], validation=validation),
        )
        for k, (position, epoch, validation) in enumerate(zip(positions, trace.epochs_K, validations, strict=True))
    ]


def _weighted_mean(loss_S: NDArray[np.float64], counted_S: NDArray[np.float64]) -> float:
    return float((loss_S * counted_S).sum() / max(counted_S.sum(), 1))


def _tensors(trace: Trace, counts: Counts) -> list[Tensor]:
    tensors = [trace.loss_SK, trace.counted_SK, trace.mean_weight_K, counts.confusion_KCC, counts.nll_K]
    return tensors if trace.importance_SAC is None else [*tensors, trace.importance_SAC]


def _failure(spec: TrialSpec, *, epoch: int, loss_S: NDArray[np.float64], validation: Evaluation) -> str | None:
    bad_S = np.flatnonzero(~np.isfinite(loss_S))
    if len(bad_S):
        what = f"The training loss became {loss_S[bad_S[0]]} at step {bad_S[0] + 1} of epoch {epoch}"
    elif math.isfinite(validation.nll):
        return None
    elif not validation.confusion_CC.any():
        return (
            "Expected labels to score by, got validation rows whose pixels are all ignored. Label some of each image."
        )
    else:
        what = f"The validation loss became {validation.nll} in epoch {epoch}"
    params = "".join(f", {name} {value}" for name, value in spec.loss_params.items())
    point = f"loss {spec.loss}{params}, lr {spec.lr:g}"
    return f"{what} ({point}): expected a finite number. Lower lr or its range, or add warm-up epochs."
