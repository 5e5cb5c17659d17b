"""One member as it learns: model, optimizer, loss and random streams of its own, on the data's device."""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from loss import AdaptiveLoss

from .augmentation import draw_views, show
from .criterion import build_criterion
from .data import DeviceData
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
        self._test_index = torch.arange(len(data.test_labels), device=data.device)
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
            spec.loss, params=spec.loss_params, class_counts_C=data.class_counts(self._train_index)
        )
        self._parameters = list(self.model.parameters())
        self._optimizer = build_optimizer(spec, self._parameters)

    def train_epoch(self, epoch: int) -> Trace:
        """Takes every training sample once in a fresh order; nothing waits for the device."""
        spec, data = self.spec, self._data
        index_N = self._draw_order()
        target_N = data.train_labels[index_N].long()
        view_N3 = self._draw_views(len(index_N))
        batches = range(0, len(index_N), spec.batch_size)
        rates = learning_rates(spec, epoch=epoch, steps=len(batches))
        losses: list[Tensor] = []
        importances: list[Tensor] = []
        self.model.train()
        for start, rate in zip(batches, rates, strict=True):
            batch = slice(start, start + spec.batch_size)
            inputs_B = data.train_inputs[index_N[batch]]
            if view_N3 is not None:
                inputs_B = show(inputs_B, view_N3[batch])
            losses.append(self._step(inputs_B, target_N[batch], rate=rate))
            if isinstance(self._criterion, AdaptiveLoss):
                importances.append(self._criterion.importance.clone())
        importance_SC = torch.stack(importances) if importances else None
        return Trace(
            rates=rates,
            sizes=[min(spec.batch_size, len(index_N) - start) for start in batches],
            loss_S=torch.stack(losses),
            mean_weight=_mean_weight(importance_SC, target_N, batch_size=spec.batch_size),
            importance_SC=importance_SC,
        )

    def validate(self) -> Counts:
        """The model on the member's validation rows."""
        return self._evaluate(self._data.train_inputs, self._data.train_labels, self._validation_index)

    def test(self) -> Counts:
        """The model on the test set."""
        return self._evaluate(self._data.test_inputs, self._data.test_labels, self._test_index)

    def predict(self, inputs: Tensor) -> Tensor:
        """The predicted class of each input, int64: (N,), or (N, H, W) where the model labels pixels."""
        self.model.eval()
        with torch.inference_mode():
            return self._forward(inputs.to(self._data.device)).argmax(dim=1)

    def _evaluate(self, inputs: Tensor, labels: Tensor, index: Tensor) -> Counts:
        self.model.eval()
        return evaluate(self._forward, inputs, labels, index=index, classes=self._data.classes)

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

    def _draw_views(self, count: int) -> Tensor | None:
        if not (self.spec.augment and self._data.is_image):
            return None
        channels, height, width = self._data.input_shape
        views = draw_views(count, image_shape=(channels, height, width), generator=self._views)
        return views.to(self._data.device, non_blocking=True)


def _mean_weight(importance_SC: Tensor | None, target_N: Tensor, *, batch_size: int) -> Tensor:
    if importance_SC is None:
        return torch.ones((), dtype=torch.float64, device=target_N.device)
    step_N = torch.arange(len(target_N), device=target_N.device) // batch_size
    step_of_label = step_N.view(-1, *(1 for _ in target_N.shape[1:]))
    return importance_SC[step_of_label, target_N].double().mean()
