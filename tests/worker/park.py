"""A user's photographs with masks, some pixels of which are ignored, and a training on them written out by hand."""

import math
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor, nn
from torch.nn import functional

from sweep.datasets import Dataset
from sweep.split import split_images
from worker.training.seeds import Stream, stream_generator, stream_seed

CLASSES = ("ground", "tree", "road/track")
KEYS = ("ground", "tree", "road_track")
BATCH, EPOCHS, LR, DECAY = 5, 2, 0.05, 0.001
WIDTH, HEIGHT = 13, 10
IMAGES = 24


def write_park(folder: Path) -> None:
    """Noisy photographs of 13 x 10 of the ground, a tree and in every second one a track; borders are ignored."""
    random = np.random.default_rng(0)
    for part in ("images", "masks"):
        (folder / part).mkdir(parents=True)
    colours = np.array([[120, 90, 60], [60, 130, 60], [120, 120, 130]])
    for number in range(IMAGES):
        mask = np.zeros((HEIGHT, WIDTH), dtype=np.uint8)
        top, left = random.integers(0, [HEIGHT - 4, WIDTH - 4])
        mask[top : top + 4, left : left + 4] = 1
        if number % 2:
            mask[random.integers(1, HEIGHT - 1)] = 2
        image = colours[mask] + random.normal(0, 30, (HEIGHT, WIDTH, 3))
        mask[0], mask[:, 0] = 255, 255
        mask[random.random(mask.shape) < 0.1] = 255
        if number == 4:  # of this one nobody knows anything
            mask[:] = 255
        Image.fromarray(image.clip(0, 255).astype(np.uint8)).save(folder / "images" / f"{number:02}.png")
        Image.fromarray(mask).save(folder / "masks" / f"{number:02}.png")
    (folder / "classes.txt").write_text("\n".join(CLASSES) + "\n", encoding="utf-8")


class SmallUNet(nn.Module):
    """Width 2, depth 1, written out; its layers draw their weights in the order of the paper's picture."""

    def __init__(self) -> None:
        super().__init__()
        sizes = [(3, 2), (2, 2), (2, 4), (4, 4), (6, 2), (2, 2)]
        layers = [(nn.Conv2d(a, b, 3, padding=1, bias=False), nn.BatchNorm2d(b)) for a, b in sizes]
        self.convolutions = nn.ModuleList(convolution for convolution, _ in layers)
        self.norms = nn.ModuleList(norm for _, norm in layers)
        self.head = nn.Conv2d(2, len(CLASSES), 1)

    def forward(self, images: Tensor) -> Tensor:
        padded = functional.pad(images, (0, 1, 0, 0))  # 14 columns, which halve
        above = self._block(padded, 0)
        below = self._block(functional.max_pool2d(above, 2), 2)
        enlarged = below.repeat_interleave(2, dim=2).repeat_interleave(2, dim=3)
        features = self._block(torch.cat([enlarged, above], dim=1), 4)
        logits: Tensor = self.head(features)
        return logits[:, :, :, :WIDTH]

    def _block(self, features: Tensor, first: int) -> Tensor:
        for layer in (first, first + 1):
            features = functional.relu(self.norms[layer](self.convolutions[layer](features)))
        return features


@dataclass
class Course:
    """What a replicate went through: the importance after each step, what validation says after each epoch, the
    weight of the pixels seen in each epoch; and the model that came of it."""

    model: nn.Module
    importance_SC: list[list[float]] = field(default_factory=list)
    validation: list[dict[str, float]] = field(default_factory=list)
    weights: list[list[float]] = field(default_factory=list)


def normalised(images: NDArray[np.uint8], pool: NDArray[np.uint8]) -> Tensor:
    values = (images - pool.mean(axis=(0, 2, 3))[:, None, None]) / pool.std(axis=(0, 2, 3))[:, None, None]
    return torch.tensor(values, dtype=torch.float32).to(memory_format=torch.channels_last)


def judged(model: nn.Module, inputs: Tensor, masks: NDArray[np.uint8]) -> dict[str, float]:
    """The scores of predictions, counted pixel by pixel and class by class over what is not ignored."""
    with torch.no_grad():
        logits = model.eval()(inputs)
    guessed = logits.argmax(dim=1).numpy()
    kept = masks != 255
    found: dict[str, float] = {}
    for label, key in enumerate(KEYS):
        is_true, is_guessed = (masks == label) & kept, (guessed == label) & kept
        if is_true.any():
            found[f"iou/{key}"] = (is_true & is_guessed).sum() / (is_true | is_guessed).sum()
            found[f"recall/{key}"] = (is_true & is_guessed).sum() / is_true.sum()
    found["mean_iou"] = np.mean([value for key, value in found.items() if key.startswith("iou/")]).item()
    surprise = -logits.double().log_softmax(1).numpy()
    at = np.nonzero(kept)
    found["nll"] = surprise[at[0], masks[at], at[1], at[2]].mean()
    return found


def train(dataset: Dataset, *, alpha: float, seed: int) -> Course:
    """One replicate by a loop of this test's own: SGD with Nesterov's momentum, cosine, flips of image and mask."""
    pool, masks = np.array(dataset.train_inputs, np.uint8), np.array(dataset.train_labels, np.uint8)
    assert dataset.image_counts is not None
    part = split_images(dataset.image_counts, fraction=0.2, seed=seed)
    assert len(part.train) % BATCH != 1
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(stream_seed(seed, Stream.INITIALISATION))
        model = SmallUNet().to(memory_format=torch.channels_last)
    order, views = stream_generator(seed, Stream.ORDER), stream_generator(seed, Stream.AUGMENTATION)
    optimizer = torch.optim.SGD(model.parameters(), lr=LR, momentum=0.9, nesterov=True, weight_decay=DECAY)
    steps, taken = math.ceil(len(part.train) / BATCH), 0
    importance, course = [1.0] * len(CLASSES), Course(model)
    for _ in range(EPOCHS):
        shuffled = part.train[torch.randperm(len(part.train), generator=order).numpy()]
        seen: list[float] = []
        for start in range(0, len(shuffled), BATCH):
            batch = shuffled[start : start + BATCH]
            images, truth = pool[batch].copy(), masks[batch].copy()
            for row, (over, across) in enumerate(torch.randint(2, (len(batch), 2), generator=views).tolist()):
                turn = (slice(None, None, -1 if over else 1), slice(None, None, -1 if across else 1))
                images[row], truth[row] = images[row][:, *turn], truth[row][turn]
            logits = model.train()(normalised(images, pool))
            guessed = logits.argmax(dim=1).numpy()
            log_p = logits.log_softmax(dim=1)
            loss, kept = torch.zeros(()), int((truth != 255).sum())
            for label in range(len(CLASSES)):
                mine = truth == label
                if mine.any():
                    missed = float((guessed[mine] != label).sum() / mine.sum())
                    importance = [
                        alpha * missed + (1 - alpha) * old if c == label else old for c, old in enumerate(importance)
                    ]
                    loss = loss - importance[label] * log_p[:, label][torch.tensor(mine)].sum() / kept
                    seen += [importance[label]] * int(mine.sum())
            optimizer.param_groups[0]["lr"] = LR * (1 + math.cos(math.pi * taken / (EPOCHS * steps))) / 2
            optimizer.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
            taken += 1
            course.importance_SC.append(importance)
        course.weights.append(seen)
        course.validation.append(judged(model, normalised(pool[part.validation], pool), masks[part.validation]))
    return course
