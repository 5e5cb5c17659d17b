"""Members that learn as one: their models stacked, one launch a layer, one pass over the data a replicate.

Shapes: K members, R replicates (seeds and samples that members share), B samples a batch, C classes, S steps.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from .augmentation import draw_flips, draw_views, flip, show
from .criterion import Criterion
from .data import DeviceData, Part
from .evaluation import Counts, evaluate
from .models import build_model
from .optimization import OPTIMIZERS, Flat, schedule_factors
from .seeds import Stream, stream_generator
from .stacked import stack
from .trial import Member


@dataclass(frozen=True, eq=False, kw_only=True, slots=True)
class Trace:
    """One epoch's course of K members, still on the device."""

    factors: list[float]
    """What the learning rates were multiplied by, by step."""
    sizes: list[int]
    """Samples of each step."""
    counted_SK: Tensor
    """Elements that each loss is a mean of: samples, or pixels that are not ignored."""
    loss_SK: Tensor
    mean_weight_K: Tensor
    importance_SAC: Tensor | None
    """Of the A members that have one, in their order."""


class _Replicate:
    """The samples and random streams of one seed."""

    def __init__(self, member: Member, data: DeviceData) -> None:
        self.train_index = torch.tensor(member.train_index, device=data.device)
        self.validation_index = torch.tensor(member.validation_index, device=data.device)
        self.order = stream_generator(member.seed, Stream.ORDER)
        self.views = stream_generator(member.seed, Stream.AUGMENTATION)


class Cohort:
    """Members in training together, which differ in numbers but not in shapes or steps."""

    def __init__(self, members: Sequence[Member], data: DeviceData) -> None:
        """Builds every member's model on the CPU from its seed, stacks them and moves them to the data's device.

        Raises ValueError where a trial names what there is not, or models cannot be stacked.
        """
        spec = self.spec = members[0].trial
        self._data = data
        keys = [(member.seed, member.train_index.tobytes()) for member in members]
        member_of = dict(zip(keys, members, strict=True))
        self._keys = keys
        self._replicates = {key: _Replicate(member, data) for key, member in member_of.items()}
        self._row_K = self._rows()
        self._test_index = torch.arange(len(data.test), device=data.device)
        models = [
            build_model(
                member.trial.model,
                input_shape=data.input_shape,
                classes=data.classes,
                params=member.trial.model_params,
                seed=member.seed,
            )
            for member in members
        ]
        self._dtype = torch.float64 if spec.precision == "float64" else torch.float32
        self.model = stack(models).to(data.device, self._dtype)
        self._specs = [member.trial for member in members]
        class_counts = {key: data.train.class_counts(one.train_index) for key, one in self._replicates.items()}
        self._criterion = Criterion(self._specs, torch.stack([class_counts[key] for key in keys]), dtype=self._dtype)
        self._flat = Flat(list(self.model.parameters()), members=len(members))
        if spec.optimizer not in OPTIMIZERS:
            raise ValueError(
                f"Expected an optimizer among {', '.join(OPTIMIZERS)}, got {spec.optimizer!r}. Name one of these."
            )
        self._optimizer = OPTIMIZERS[spec.optimizer](self._specs, self._flat)

    @property
    def adaptive(self) -> list[int]:
        """The members that have an importance."""
        return self._criterion.adaptive

    def train_epoch(self, epoch: int) -> Trace:
        """Takes every training sample of every replicate once in a fresh order; nothing waits for the device."""
        batches = torch.split(self._draw_order(), self.spec.batch_size, dim=1)
        factors = schedule_factors(self.spec, epoch=epoch, steps=len(batches))
        index_A = torch.tensor(self.adaptive, dtype=torch.int64, device=self._data.device)
        losses: list[Tensor] = []
        importances: list[Tensor] = []
        seen: list[Tensor] = []
        counted: list[Tensor] = []
        self.model.train()
        for index_RB, factor in zip(batches, factors, strict=True):
            inputs_RB, target_RB = self._batch(index_RB)
            losses.append(self._step(self._to_members(inputs_RB), self._to_members(target_RB), factor=factor))
            if self._data.train.is_dense:
                counted.append(self._to_members((target_RB >= 0).flatten(1).sum(dim=1)))
            if len(index_A):
                importances.append(self._criterion.importance_KC[index_A])
                seen.append(_tally(target_RB, self._data.classes))
        sizes = [index_RB.shape[1] for index_RB in batches]
        loss_SK = torch.stack(losses)
        return Trace(
            factors=factors,
            sizes=sizes,
            counted_SK=torch.stack(counted) if counted else torch.tensor(sizes)[:, None].expand_as(loss_SK),
            loss_SK=loss_SK,
            mean_weight_K=self._mean_weight(importances, seen, index_A=index_A),
            importance_SAC=torch.stack(importances) if importances else None,
        )

    def validate(self) -> Counts:
        """Every model on its replicate's validation rows."""
        index_RV = torch.stack([one.validation_index for one in self._replicates.values()])
        return self._evaluate(self._data.train, index_RV)

    def test(self) -> Counts:
        """Every model on the test set."""
        return self._evaluate(self._data.test, self._test_index[None])

    def predict(self, member: int, inputs: Tensor) -> Tensor:
        """The class that one member gives to each input, int64: (N,), or (N, H, W) where it labels pixels."""
        self.model.eval()
        with torch.inference_mode():
            prepared = self._data.prepare(inputs.to(self._data.device))
            logits_KNC = self._forward(self._to_members(prepared[None]))
            return logits_KNC[member].argmax(dim=1)

    def keep(self, members: Sequence[int]) -> None:
        """Goes on with these members alone, in this order, and lets go of the memory of the others."""
        index = torch.tensor(list(members), device=self._data.device)
        self._flat.keep(index)
        for module in self.model.modules():
            for name, buffer in module.named_buffers(recurse=False):
                setattr(module, name, buffer[index])
        self._specs = [self._specs[k] for k in members]
        self._keys = [self._keys[k] for k in members]
        self._replicates = {key: self._replicates[key] for key in dict.fromkeys(self._keys)}
        self._row_K = self._rows()
        self._criterion.keep(members)
        self._optimizer.keep(self._specs, index)

    def _draw_order(self) -> Tensor:
        """Training rows in the order of this epoch (R, N)."""
        rows = []
        for one in self._replicates.values():
            count = len(one.train_index)
            order_N = torch.randperm(count, generator=one.order)
            if count > 1 and count % self.spec.batch_size == 1:
                # BatchNorm has no variance to go by in a batch of one, so the odd sample sits this epoch out.
                order_N = order_N[:-1]
            rows.append(one.train_index[order_N.to(self._data.device, non_blocking=True)])
        return torch.stack(rows)

    def _batch(self, index_RB: Tensor) -> tuple[Tensor, Tensor]:
        """Inputs (R, B, …) as models take them and targets (R, B, …), augmented replicate by replicate."""
        data = self._data
        flat = index_RB.flatten()
        inputs, targets = data.train.inputs_of(flat), data.train.targets_of(flat)
        if self.spec.augment and data.is_image:
            inputs, targets = self._augmented(inputs, targets, count=index_RB.shape[1])
        return _by_replicate(data.prepare(inputs), index_RB), _by_replicate(targets, index_RB)

    def _augmented(self, inputs: Tensor, targets: Tensor, *, count: int) -> tuple[Tensor, Tensor]:
        generators = [one.views for one in self._replicates.values()]
        if self._data.train.is_dense:
            flips = torch.cat([draw_flips(count, generator=generator) for generator in generators])
            flips = flips.to(self._data.device, non_blocking=True)
            return flip(inputs, flips), flip(targets, flips)
        channels, height, width = self._data.input_shape
        shape = (channels, height, width)
        views = torch.cat([draw_views(count, image_shape=shape, generator=generator) for generator in generators])
        return show(inputs, views.to(self._data.device, non_blocking=True)), targets

    def _to_members(self, tensor_R: Tensor) -> Tensor:
        """One entry a member (K, …) of what there is one of a replicate, or one for all; copied only where it must."""
        members = len(self._keys)
        if len(tensor_R) == 1:
            return tensor_R.expand(members, *tensor_R.shape[1:])
        if members == len(tensor_R):
            return tensor_R
        return tensor_R[self._row_K]

    def _rows(self) -> Tensor:
        """Which replicate is each member's (K,)."""
        position = {key: r for r, key in enumerate(self._replicates)}
        return torch.tensor([position[key] for key in self._keys], device=self._data.device)

    def _step(self, inputs_KB: Tensor, target_KB: Tensor, *, factor: float) -> Tensor:
        loss_K = self._criterion(self._forward(inputs_KB), target_KB)
        gradient = self._flat.gradient(loss_K.sum())
        with torch.no_grad():
            self._optimizer.step(gradient, factor=factor)
        return loss_K.detach()

    def _forward(self, inputs_KB: Tensor) -> Tensor:
        if self.spec.precision != "bfloat16":
            logits: Tensor = self.model(inputs_KB.to(self._dtype))
            return logits
        with torch.autocast(self._data.device.type, dtype=torch.bfloat16):
            logits = self.model(inputs_KB)
        return logits.float()

    def _evaluate(self, part: Part, index_RN: Tensor) -> Counts:
        self.model.eval()

        def logits_of(index_RB: Tensor) -> Tensor:
            inputs = self._data.prepare(part.inputs_of(index_RB.flatten()))
            return self._forward(self._to_members(_by_replicate(inputs, index_RB)))

        def targets_of(index_RB: Tensor) -> Tensor:
            return self._to_members(_by_replicate(part.targets_of(index_RB.flatten()), index_RB))

        shape = (len(self._keys), self._data.classes)
        pixels = part.inputs.shape[2:].numel()
        return evaluate(logits_of, targets_of, index_RN, members_and_classes=shape, pixels=pixels)

    def _mean_weight(self, importances: list[Tensor], seen: list[Tensor], *, index_A: Tensor) -> Tensor:
        weight_K = torch.ones(len(self._keys), dtype=torch.float64, device=self._data.device)
        if not importances:
            return weight_K
        seen_SAC = torch.stack([self._to_members(seen_RC)[index_A] for seen_RC in seen])
        importance_SAC = torch.stack(importances).double()
        weight_K[index_A] = (importance_SAC * seen_SAC).sum(dim=(0, 2)) / seen_SAC.sum(dim=(0, 2))
        return weight_K


def _by_replicate(tensor: Tensor, index_RB: Tensor) -> Tensor:
    """(R, B, …) from (R * B, …)."""
    return tensor.view(*index_RB.shape, *tensor.shape[1:])


def _tally(target_RB: Tensor, classes: int) -> Tensor:
    """Elements of each class (R, C) in a batch; the last cell, for what is ignored, is left out."""
    target_RE = target_RB.flatten(1)
    cell_RE = torch.where(target_RE < 0, classes, target_RE)
    tally = torch.zeros(len(target_RE), classes + 1, dtype=torch.int64, device=target_RE.device)
    return tally.scatter_add_(1, cell_RE, torch.ones_like(cell_RE))[:, :-1]
