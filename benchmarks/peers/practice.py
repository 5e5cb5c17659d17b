"""One trial in plain PyTorch: the adaptive loss of the 2021 post, a train loop, validation after every epoch."""

import math
from collections.abc import Callable

import torch
import torch._dynamo  # torch imports it at the first optimizer; imports are not timed
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.data import BatchSampler, DataLoader, RandomSampler, SequentialSampler, TensorDataset

from .command import Result, Scores
from .models import build_model
from .work import Data, Flipped, Work

# Two forms. Plain is what PyTorch's tutorials show: DataLoader(dataset, batch_size, shuffle=True), AdamW(parameters).
# Tuned is what an expert makes of it, each step of which PyTorch's documentation offers for speed: channels last, a
# batch at a time out of the tensors, AdamW with fused=True. In seconds on one CPU thread:
#
#                        digits, 30 epochs   toy2d, 30 epochs   fashion_mnist, 1 epoch   shapes, 1 epoch
# a sample at a time           .18                 .82                  4.9                   2.5
#   in 2 worker processes      .57                1.70                  5.2                   2.6
#   with channels last          –                   –                   2.8                   1.8
#   and a batch at a time      .14                 .54                  2.6                    –
#
# AdamW with fused=True takes a tenth off toy2d and digits. Worker processes are used in neither: the data are in
# memory, and to start processes and send batches costs more than to index.

Batches = DataLoader[tuple[Tensor, ...]]
Report = Callable[[int, Scores], object]


class AdaptiveLoss(nn.Module):
    """Cross-entropy weighted by a moving average of each class's false-negative rate in the batches."""

    importance: Tensor

    def __init__(self, num_classes: int, alpha: float = 1e-2) -> None:
        """`alpha` is the weight of the new batch."""
        super().__init__()
        self.alpha = alpha
        self.register_buffer("importance", torch.ones(num_classes))

    @torch.no_grad()
    def update(self, logits: Tensor, target: Tensor) -> None:
        """Moves the importance of the classes that are in the batch."""
        predicted = logits.argmax(dim=1)
        for c in torch.unique(target):
            of_class = target == c
            false_negative_rate = (predicted[of_class] != c).float().mean()
            self.importance[c] = self.alpha * false_negative_rate + (1 - self.alpha) * self.importance[c]

    def forward(self, logits: Tensor, target: Tensor) -> Tensor:
        """The weighted mean over all samples, or pixels."""
        self.update(logits, target)
        cross_entropy = F.cross_entropy(logits, target, reduction="none")
        return (cross_entropy * self.importance[target]).mean()


def train(work: Work, data: Data, alpha: float, report: Report | None = None, *, tuned: bool = False) -> Result:
    """Trains one model, in its plain form or tuned; `report` is told every epoch's scores."""
    torch.manual_seed(work.seed)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    train_loader, val_loader = loaders(work, data, tuned=tuned)
    model = build_model(work, input_shape=tuple(data.train[0][0].shape)).to(device)
    if tuned:
        model = model.to(memory_format=torch.channels_last)
    criterion = AdaptiveLoss(work.classes, alpha).to(device)
    optimizer = torch.optim.AdamW(
        model.parameters(), lr=work.lr, weight_decay=work.weight_decay, fused=True if tuned else None
    )
    steps = work.epochs * len(train_loader)
    scheduler = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=steps)
    samples, train_loss, scores = 0, math.nan, Scores()
    for epoch in range(work.epochs):
        model.train()
        total_loss, seen = 0.0, 0
        for inputs, target in train_loader:
            inputs, target = inputs.to(device, non_blocking=True), target.to(device, non_blocking=True)
            optimizer.zero_grad()
            loss = criterion(model(inputs), target)
            loss.backward()
            optimizer.step()
            scheduler.step()
            total_loss += loss.item() * len(inputs)
            seen += len(inputs)
        samples, train_loss = samples + seen, total_loss / seen
        scores = evaluate(model, val_loader, classes=work.classes, device=device)
        if report:
            report(epoch, scores | {"train_loss": train_loss, "importance": criterion.importance.tolist()})
    return {"alpha": alpha, "samples": samples, "steps": steps, "final": scores, "train_loss": train_loss}


def loaders(work: Work, data: Data, *, tuned: bool) -> tuple[Batches, Batches]:
    """Shuffled batches to train on, and larger ones to validate on."""
    odd = len(data.train) % work.batch_size == 1  # a batch of one is nothing to normalise by
    make = _batch_by_batch if tuned else _sample_by_sample
    return make(data.train, work.batch_size, shuffle=True, drop_last=odd), make(data.val, 512)


def _sample_by_sample(
    dataset: TensorDataset | Flipped, batch_size: int, *, shuffle: bool = False, drop_last: bool = False
) -> Batches:
    pin_memory = torch.cuda.is_available()
    return DataLoader(dataset, batch_size=batch_size, shuffle=shuffle, drop_last=drop_last, pin_memory=pin_memory)


def _batch_by_batch(
    dataset: TensorDataset | Flipped, batch_size: int, *, shuffle: bool = False, drop_last: bool = False
) -> Batches:
    if not isinstance(dataset, TensorDataset):
        return _sample_by_sample(dataset, batch_size, shuffle=shuffle, drop_last=drop_last)
    # Tensors give a whole batch at one index: "Disable automatic batching" in the documentation of torch.utils.data.
    order = RandomSampler(dataset) if shuffle else SequentialSampler(dataset)
    batches = BatchSampler(order, batch_size, drop_last=drop_last)
    return DataLoader(dataset, batch_size=None, sampler=batches, pin_memory=torch.cuda.is_available())


def evaluate(model: nn.Module, loader: Batches, *, classes: int, device: torch.device) -> Scores:
    """Accuracy, balanced accuracy and each class's recall; the mean IoU too where there is a label a pixel."""
    model.eval()
    confusion = torch.zeros(classes, classes, dtype=torch.int64, device=device)
    target = torch.empty(0)
    with torch.inference_mode():
        for inputs, target in loader:
            inputs, target = inputs.to(device, non_blocking=True), target.to(device, non_blocking=True)
            cells = target * classes + model(inputs).argmax(dim=1)
            confusion += torch.bincount(cells.flatten(), minlength=classes**2).view(classes, classes)
    hits, truths, predictions = confusion.diagonal().float(), confusion.sum(dim=1), confusion.sum(dim=0)
    recall = hits / truths
    scores: Scores = {
        "accuracy": (hits.sum() / truths.sum()).item(),
        "balanced_accuracy": recall.nanmean().item(),
        "recall": recall.tolist(),
    }
    if target.ndim > 1:
        scores["mean_iou"] = (hits / (truths + predictions - hits)).nanmean().item()
    return scores


def flat(scores: Scores) -> dict[str, float]:
    """Scores with one number a name, as trackers take them: recall/0, recall/1 and so on."""
    numbers: dict[str, float] = {}
    for name, value in scores.items():
        if isinstance(value, list):
            numbers |= {f"{name}/{c}": each for c, each in enumerate(value) if not math.isnan(each)}
        else:
            numbers[name] = value
    return numbers
