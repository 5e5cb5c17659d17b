"""One member as it learns: model, optimizer, loss and random streams of its own, on the data's device."""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from loss import AdaptiveLoss

from .augmentation import draw_flips, draw_views, flip, show
from .criterion import build_criterion
from .data import DeviceData, Part
from .evaluation import Counts, evaluate
from .models import build_model
from .optimization import build_optimizer, learning_rates
from .seeds import Stream, stream_generator
from .trial import Member


@dataclass(frozen=True, eq=False, kw_only=True, slots=True)
class Trace:
    """One epoch's course, still on the device: the loss of each step, the mean weight, importance if any."""

    rates: list[float]
    sizes: list[int]
    counted_S: Tensor
    """Elements that each step's loss is a mean of: samples, or pixels that are not ignored."""
    loss_S: Tensor
    mean_weight: Tensor
    importance_SC: Tensor | None


class Learner:
    """A member's model in training. Raises ValueError where the trial names what there is not."""

    def __init__(self, member: Member, data: DeviceData) -> None:
        """Builds the model on the CPU from the member's seed and moves it to the data's device."""
        spec = self.spec = member.trial
        self._data = data
        self._train_index = torch.tensor(member.train_index, device=data.device)
        self._validation_index = torch.tensor(member.validation_index, device=data.device)
        self._test_index = torch.arange(len(data.test), device=data.device)
        self._order = stream_generator(member.seed, Stream.ORDER)
        self._views = stream_generator(member.seed, Stream.AUGMENTATION)
        model = build_model(
            spec.model,
            input_shape=data.input_shape,
            classes=data.classes,
            params=spec.model_params,
            seed=member.seed,
        )
        # Kernels lie like the images (see `DeviceData.prepare`), or every convolution would turn them first.
        self.model: nn.Module = model.to(data.device).to(memory_format=torch.channels_last)
        self._criterion = build_criterion(
            spec.loss, params=spec.loss_params, class_counts_C=data.train.class_counts(self._train_index)
        )
        self._parameters = list(self.model.parameters())
        self._optimizer = build_optimizer(spec, self._parameters)

    def train_epoch(self, epoch: int) -> Trace:
        """Takes every training sample once in a fresh order; nothing waits for the device."""
        spec, data = self.spec, self._data
        batches = torch.split(self._draw_order(), spec.batch_size)
        rates = learning_rates(spec, epoch=epoch, steps=len(batches))
        losses: list[Tensor] = []
        importances: list[Tensor] = []
        seen: list[Tensor] = []
        counted: list[Tensor] = []
        self.model.train()
        for index_B, rate in zip(batches, rates, strict=True):
            inputs_B, target_B = self._augmented(data.train.inputs_of(index_B), data.train.targets_of(index_B))
            losses.append(self._step(inputs_B, target_B, rate=rate))
            if data.train.is_dense:
                counted.append((target_B >= 0).sum())
            if isinstance(self._criterion, AdaptiveLoss):
                importances.append(self._criterion.importance.clone())
                seen.append(_tally(target_B, data.classes))
        importance_SC, seen_SC = (torch.stack(steps) if steps else None for steps in (importances, seen))
        sizes = [len(index_B) for index_B in batches]
        return Trace(
            rates=rates,
            sizes=sizes,
            counted_S=torch.stack(counted) if counted else torch.tensor(sizes),
            loss_S=torch.stack(losses),
            mean_weight=_mean_weight(importance_SC, seen_SC, device=data.device),
            importance_SC=importance_SC,
        )

    def validate(self) -> Counts:
        """The model on the member's validation rows."""
        return self._evaluate(self._data.train, self._validation_index)

    def test(self) -> Counts:
        """The model on the test set."""
        return self._evaluate(self._data.test, self._test_index)

    def predict(self, inputs: Tensor) -> Tensor:
        """The predicted class of each input, int64: (N,), or (N, H, W) where the model labels pixels."""
        self.model.eval()
        with torch.inference_mode():
            return self._forward(inputs.to(self._data.device)).argmax(dim=1)

    def _evaluate(self, part: Part, index: Tensor) -> Counts:
        self.model.eval()
        return evaluate(self._forward, part, index=index, classes=self._data.classes)

    def _step(self, inputs_B: Tensor, target_B: Tensor, *, rate: float) -> Tensor:
        loss = self._criterion(self._forward(inputs_B), target_B)
        # Not zero_grad, whose notes for the profiler cost a small model a tenth of its step.
        for parameter in self._parameters:
            parameter.grad = None
        loss.backward()  # type: ignore[no-untyped-call]
        self._optimizer.param_groups[0]["lr"] = rate
        self._optimizer.step()
        return loss.detach()

    def _forward(self, inputs_B: Tensor) -> Tensor:
        prepared_B = self._data.prepare(inputs_B)
        if self.spec.precision == "float32":
            logits: Tensor = self.model(prepared_B)
            return logits
        with torch.autocast(self._data.device.type, dtype=torch.bfloat16):
            logits = self.model(prepared_B)
        return logits.float()

    def _draw_order(self) -> Tensor:
        count = len(self._train_index)
        order_N = torch.randperm(count, generator=self._order)
        if count > 1 and count % self.spec.batch_size == 1:
            # BatchNorm has no variance to go by in a batch of one, so the odd sample sits this epoch out.
            order_N = order_N[:-1]
        return self._train_index[order_N.to(self._data.device, non_blocking=True)]

    def _augmented(self, inputs_B: Tensor, target_B: Tensor) -> tuple[Tensor, Tensor]:
        if not (self.spec.augment and self._data.is_image):
            return inputs_B, target_B
        if self._data.train.is_dense:
            flip_B2 = draw_flips(len(inputs_B), generator=self._views).to(self._data.device, non_blocking=True)
            return flip(inputs_B, flip_B2), flip(target_B, flip_B2)
        channels, height, width = self._data.input_shape
        view_B3 = draw_views(len(inputs_B), image_shape=(channels, height, width), generator=self._views)
        return show(inputs_B, view_B3.to(self._data.device, non_blocking=True)), target_B


def _tally(target_B: Tensor, classes: int) -> Tensor:
    """Elements of each class (C,) in a batch; the last cell, for what is ignored, is left out."""
    cell_B = torch.where(target_B < 0, classes, target_B).flatten()
    tally = torch.zeros(classes + 1, dtype=torch.int64, device=target_B.device)
    return tally.index_add_(0, cell_B, torch.ones_like(cell_B))[:-1]


def _mean_weight(importance_SC: Tensor | None, seen_SC: Tensor | None, *, device: torch.device) -> Tensor:
    if importance_SC is None or seen_SC is None:
        return torch.ones((), dtype=torch.float64, device=device)
    return (importance_SC.double() * seen_SC).sum() / seen_SC.sum()
