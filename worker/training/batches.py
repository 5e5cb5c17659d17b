"""The batches of members that learn together: one for all who share a seed, rows and epoch.

Shapes: K members, R replicates, N training samples, B of a batch.
"""

import copy
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from .augmentation import draw_flips, draw_views, flip, show
from .data import DeviceData
from .seeds import Stream, stream_generator
from .trial import Member

Key = tuple[int, bytes, bytes, int]
"""Seed, training and validation rows, and the epoch of the stack in which the first of its members began."""


def key_of(member: Member, begun: int) -> Key:
    """Members of one key see the same batches."""
    return member.seed, member.train_index.tobytes(), member.validation_index.tobytes(), begun


class Replicate:
    """The samples and random streams of one seed."""

    def __init__(self, member: Member, data: DeviceData) -> None:
        """Names the member's rows where the data lie, and puts its streams at their start."""
        self.train_index = torch.tensor(member.train_index, device=data.home)
        self.validation_index = torch.tensor(member.validation_index, device=data.home)
        self.class_counts = data.train.class_counts(self.train_index)
        self.order = stream_generator(member.seed, Stream.ORDER)
        self.views = stream_generator(member.seed, Stream.AUGMENTATION)

    def twin(self) -> "Replicate":
        """The same samples, with streams of their own that go on from where these are."""
        other = copy.copy(self)
        other.order, other.views = self.order.clone_state(), self.views.clone_state()
        return other


class Batches:
    """What members see: drawn once a replicate, and handed to each of its members."""

    def __init__(self, keys: Sequence[Key], replicates: Mapping[Key, Replicate], data: DeviceData) -> None:
        """`keys` say which replicate is each member's."""
        self.replicates = {key: replicates[key] for key in dict.fromkeys(keys)}
        self._data, self._members = data, len(keys)
        position = {key: r for r, key in enumerate(self.replicates)}
        self._row_K = torch.tensor([position[key] for key in keys], device=data.device)

    @property
    def validation_index(self) -> Tensor:
        """Every replicate's validation rows (R, V), where the data lie."""
        return torch.stack([one.validation_index for one in self.replicates.values()])

    def draw_order(self, batch_size: int) -> Sequence[Tensor]:
        """Training rows of a fresh epoch, by batch (R, B), where the data lie."""
        rows = []
        for one in self.replicates.values():
            count = len(one.train_index)
            order_N = torch.randperm(count, generator=one.order)
            if count > 1 and count % batch_size == 1:
                # BatchNorm has no variance to go by in a batch of one, so the odd sample sits this epoch out.
                order_N = order_N[:-1]
            rows.append(one.train_index[order_N.to(self._data.home, non_blocking=True)])
        return torch.split(torch.stack(rows), batch_size, dim=1)

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
            return tensor_R.expand(self._members, *tensor_R.shape[1:])
        if self._members == len(tensor_R):
            return tensor_R
        return tensor_R[self._row_K]

    def _augmented(self, inputs: Tensor, targets: Tensor, *, count: int) -> tuple[Tensor, Tensor]:
        generators = [one.views for one in self.replicates.values()]
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
