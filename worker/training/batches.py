"""The batches of members that learn together: one for all who share a seed, rows and epoch.

Shapes: K members, R replicates, N training samples, B of a batch.
"""

import copy
from collections.abc import Sequence

import torch
from torch import Tensor

from .augmentation import draw_flips, draw_views, flip, show
from .data import DeviceData
from .seeds import Stream, stream_generator
from .trial import Member


class Replicate:
    """The samples and random streams of one seed, after some epochs."""

    def __init__(self, member: Member, data: DeviceData) -> None:
        """Names the member's rows where the data lie, and puts its streams at their start."""
        self._samples = _samples(member)
        self._train_index = torch.tensor(member.train_index, device=data.home)
        self.validation_index = torch.tensor(member.validation_index, device=data.home)
        self.class_counts = data.train.class_counts(self._train_index)
        self.order = stream_generator(member.seed, Stream.ORDER)
        self.views = stream_generator(member.seed, Stream.AUGMENTATION)
        self.epochs = 0
        """Epochs whose order has been drawn."""

    @property
    def key(self) -> tuple[object, ...]:
        """Seed, rows and epochs: members of one key see the same batches from here on."""
        return *self._samples, self.epochs

    @property
    def streams(self) -> tuple[Tensor, Tensor]:
        """The states of its random streams: order and augmentation."""
        return self.order.get_state(), self.views.get_state()

    def at(self, epochs: int, streams: tuple[Tensor, Tensor]) -> "Replicate":
        """The same samples after so many epochs, with streams of their own in these states."""
        other = copy.copy(self)
        other.epochs, other.order, other.views = epochs, torch.Generator(), torch.Generator()
        for stream, state in zip((other.order, other.views), streams, strict=True):
            stream.set_state(state)
        return other

    def draw_order(self, batch_size: int) -> Tensor:
        """Its training rows in the order of a fresh epoch (N,)."""
        self.epochs += 1
        count = len(self._train_index)
        order_N = torch.randperm(count, generator=self.order)
        if count > 1 and count % batch_size == 1:
            # BatchNorm has no variance to go by in a batch of one, so the odd sample sits this epoch out.
            order_N = order_N[:-1]
        return self._train_index[order_N.to(self._train_index.device, non_blocking=True)]


def replicates_of(members: Sequence[Member], data: DeviceData) -> list[Replicate]:
    """The replicate of each member at its start, one for all of the same seed and rows."""
    alike = {_samples(member): member for member in members}
    made = {samples: Replicate(member, data) for samples, member in alike.items()}
    return [made[_samples(member)] for member in members]


class Batches:
    """What members see: drawn once a replicate, and handed to each of its members."""

    def __init__(self, replicates_K: Sequence[Replicate], data: DeviceData) -> None:
        """Goes on from where each member's replicate is, and leaves that there; those of one key become one."""
        by_key = {one.key: one.at(one.epochs, one.streams) for one in dict.fromkeys(replicates_K)}
        self.replicates_K = [by_key[one.key] for one in replicates_K]
        self._data, self._replicates = data, list(by_key.values())
        rows = [self._replicates.index(one) for one in self.replicates_K]
        self._row_K = torch.tensor(rows, device=data.device)

    @property
    def validation_index(self) -> Tensor:
        """Every replicate's validation rows (R, V), where the data lie."""
        return torch.stack([one.validation_index for one in self._replicates])

    def draw_order(self, batch_size: int) -> Sequence[Tensor]:
        """Training rows of a fresh epoch, by batch (R, B), where the data lie."""
        orders = [one.draw_order(batch_size) for one in self._replicates]
        return torch.split(torch.stack(orders), batch_size, dim=1)

    def of(self, index_RB: Tensor, *, augment: bool) -> tuple[Tensor, Tensor]:
        """Inputs (R, B, …) as models take them and targets (R, B, …), augmented replicate by replicate."""
        data = self._data
        flat = index_RB.flatten()
        inputs, targets = data.train.inputs_of(flat), data.train.targets_of(flat)
        if augment and data.is_image:
            inputs, targets = self._augmented(inputs, targets, count=index_RB.shape[1])
        return by_replicate(data.prepare(inputs), index_RB), by_replicate(targets, index_RB)

    def to_members(self, tensor_R: Tensor) -> Tensor:
        """One entry a member (K, …) of what there is one of a replicate, or one for all.

        What all share is not copied here, nor by a linear layer; a convolution or pooling, which sees the members side
        by side, and flattening, which makes vectors of images, copy it for each of them.
        """
        if len(tensor_R) == 1:
            return tensor_R.expand(len(self._row_K), *tensor_R.shape[1:])
        if len(self._row_K) == len(tensor_R):
            return tensor_R
        return tensor_R[self._row_K]

    def _augmented(self, inputs: Tensor, targets: Tensor, *, count: int) -> tuple[Tensor, Tensor]:
        generators = [one.views for one in self._replicates]
        if self._data.train.is_dense:
            flips = torch.cat([draw_flips(count, generator=generator) for generator in generators])
            flips = flips.to(self._data.device, non_blocking=True)
            return flip(inputs, flips), flip(targets, flips)
        channels, height, width = self._data.input_shape
        shape = (channels, height, width)
        views = torch.cat([draw_views(count, image_shape=shape, generator=generator) for generator in generators])
        return show(inputs, views.to(self._data.device, non_blocking=True)), targets


def by_replicate(tensor: Tensor, index_RB: Tensor) -> Tensor:
    """(R, B, …) from (R * B, …)."""
    return tensor.view(*index_RB.shape, *tensor.shape[1:])


def _samples(member: Member) -> tuple[object, ...]:
    return member.seed, member.train_index.tobytes(), member.validation_index.tobytes()
