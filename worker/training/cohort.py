"""Members that learn as one: their models stacked, one launch a layer, one pass over the data a replicate.

Shapes: K members, R replicates (seeds and samples that members share), B samples a batch, C classes, S steps.
"""

import copy
from collections.abc import Callable, Mapping, Sequence
from functools import partial

import torch
from torch import Tensor

from .batches import Batches, Replicate, by_replicate, replicates_of
from .criterion import Criterion
from .data import DeviceData, Part
from .evaluation import Counts, evaluate
from .graph import Graphed
from .models import build_model
from .optimization import OPTIMIZERS, Flat, schedule_factors
from .precision import computing
from .probe import no_stack
from .seeds import Stream, stream_seed
from .stacked import drawing, stack, twin
from .trace import State, Trace, Tracer
from .trial import Member

Heed = Callable[[], None]
"""Asks whether somebody wants something else, and raises where they do."""


class Cohort:
    """Members in training together, which differ in numbers but not in shapes or steps; `members` has their order."""

    def __init__(
        self, members: Sequence[Member], data: DeviceData, *, graphs: bool = False, heed: Heed = lambda: None
    ) -> None:
        """Builds every member's model on the CPU from its seed, stacks them and moves them to the data's device.

        With `graphs` the steps on a GPU are replayed from a recording. `heed` is called before each step and each
        batch of an evaluation; what it raises ends the training at once.

        Raises ValueError where a trial names what there is not, or models cannot be stacked.
        """
        spec = self.spec = members[0].trial
        self._data, self._heed = data, heed
        self._dtype = torch.float64 if spec.precision == "float64" else torch.float32
        # Members of one seed begin alike, so that they pair.
        alike = {(member.seed, *member.trial.model_params.items()): member for member in members}
        built = {
            key: build_model(
                member.trial.model,
                input_shape=data.input_shape,
                classes=data.classes,
                params=member.trial.model_params,
                seed=member.seed,
            )
            for key, member in alike.items()
        }
        models = [built[member.seed, *member.trial.model_params.items()] for member in members]
        self.model = stack(models, reason=no_stack(spec, data)).to(data.device, self._dtype)
        self._graphs = graphs and data.device.type == "cuda" and not drawing(self.model)
        self._flat = Flat(self.model.parameters())
        values_KP = self._flat.values_KP
        tensors = {name: torch.zeros_like(values_KP) for name in OPTIMIZERS[spec.optimizer].vectors}
        tensors["importance"] = torch.ones(len(members), data.classes, dtype=self._dtype, device=data.device)
        self._hold(members, replicates_of(members, data), self._buffers() | tensors | {"values": values_KP})

    @property
    def epochs(self) -> list[int]:
        """How many epochs each member has been trained."""
        return [one.epochs for one in self._batches.replicates_K]

    def kept(self, members: Sequence[int]) -> "Cohort":
        """A cohort of these members, in this order, in memory of its own."""
        return self._at(members, torch.tensor(list(members), device=self._data.device))

    def part(self, members: range) -> "Cohort":
        """A cohort of these members where they lie: what it learns changes this one too, which is best left alone."""
        return self._at(members, slice(members.start, members.stop))

    @property
    def is_part(self) -> bool:
        """Whether its memory is a larger cohort's."""
        return any(tensor.untyped_storage().nbytes() > tensor.nbytes for tensor in self._tensors().values())

    def joined(self, other: "Cohort") -> "Cohort":
        """A cohort of its own members and those of another of the same shapes and steps, in memory of its own."""
        theirs = other._tensors()
        tensors = {name: torch.cat([tensor, theirs[name]]) for name, tensor in self._tensors().items()}
        replicates_K = self._batches.replicates_K + other._batches.replicates_K
        return self._of([*self.members, *other.members], replicates_K, tensors)

    def state(self, members: Sequence[int] | None = None) -> State:
        """A copy of what these members are now, by default all."""
        rows = list(range(len(self.members)) if members is None else members)
        replicates, index = [self._batches.replicates_K[k] for k in rows], torch.tensor(rows, device=self._data.device)
        return State(
            epochs_K=[one.epochs for one in replicates],
            tensors={name: tensor[index] for name, tensor in self._tensors().items()},
            streams=[one.streams for one in replicates],
        )

    def restored(self, state: State) -> "Cohort":
        """A cohort of its members as they were, or, of fresh ones, as others were; in the state's own memory."""
        began = zip(self._batches.replicates_K, state.epochs_K, state.streams, strict=True)
        tensors = {name: tensor.to(self._data.device) for name, tensor in state.tensors.items()}
        return self._of(self.members, [one.at(epochs, streams) for one, epochs, streams in began], tensors)

    def validate(self) -> Counts:
        """Every model on its replicate's validation rows."""
        return self._evaluate(self._data.train, self._batches.validation_index)

    def test(self, members: Sequence[int]) -> Counts:
        """The models of these members, in this order, on the test set; copied where they do not lie in a row."""
        rows = range(members[0], members[0] + len(members))
        tested = self.part(rows) if list(members) == list(rows) else self.kept(members)
        return tested._evaluate(self._data.test, torch.arange(len(self._data.test), device=self._data.home)[None])

    def predict(self, member: int, inputs: Tensor) -> Tensor:
        """The class that one member gives to each input, int64: (N,), or (N, H, W) where it labels pixels."""
        alone = self.part(range(member, member + 1))
        alone.model.eval()
        with torch.inference_mode(), computing(self.spec.precision, self._data.device):
            prepared = self._data.prepare(inputs.to(self._data.device))
            return alone._forward(prepared[None])[0].argmax(dim=1)

    def train_epoch(self) -> Trace:
        """Takes every training sample of every replicate once in a fresh order; nothing waits for the device."""
        batches = self._batches.draw_order(self.spec.batch_size)
        factors_SK = self._factors(len(batches))
        tracer = Tracer(self._index_A, classes=self._data.classes, dense=self._data.train.is_dense)
        done_K = torch.tensor([(epoch - 1) * len(batches) for epoch in self.epochs])
        self.model.train()
        for layer, module in enumerate(drawing(self.model)):
            trained = zip(self.members, self.epochs, strict=True)
            seeds = [stream_seed(member.seed, Stream.DROPOUT, epoch, layer) for member, epoch in trained]
            module.reseed(seeds, self._data.device)
        step = partial(self._graphed, self._step) if self._graphed else self._step
        rates = self._optimizer.rates(factors_SK, done_K=done_K, like=self._flat.values_KP)
        with computing(self.spec.precision, self._data.device):
            for index_RB, rates_of_step in zip(batches, rates, strict=True):
                self._heed()
                inputs_RB, target_RB = self._batches.of(index_RB, augment=self.spec.augment)
                loss_K = step(inputs_RB, target_RB, *rates_of_step)
                tracer.note(loss_K, self._criterion.importance_KC, target_RB, to_members=self._batches.to_members)
        sizes = [index_RB.shape[1] for index_RB in batches]
        return tracer.trace(self.members, self.epochs, factors_SK=factors_SK, sizes=sizes)

    def _factors(self, steps: int) -> Tensor:
        by_epoch = {epoch: schedule_factors(self.spec, epoch=epoch, steps=steps) for epoch in set(self.epochs)}
        return torch.tensor([by_epoch[epoch] for epoch in self.epochs], dtype=torch.float64).T

    def _step(self, inputs_RB: Tensor, target_RB: Tensor, *rates: Tensor) -> Tensor:
        """Moves weights, moments, running moments and importance in place; answers the losses (K,)."""
        logits_KBC = self._forward(self._batches.to_members(inputs_RB))
        loss_K = self._criterion(logits_KBC, self._batches.to_members(target_RB))
        gradient_KP = self._flat.gradient(loss_K.sum())
        with torch.no_grad():
            self._optimizer.step(self._flat.values_KP, gradient_KP, rates)
        return loss_K.detach()

    def _forward(self, inputs_KB: Tensor) -> Tensor:
        logits: Tensor = self.model(inputs_KB.to(self._dtype))
        return logits.to(self._dtype)

    def _evaluate(self, part: Part, index_RN: Tensor) -> Counts:
        self.model.eval()

        def logits_of(index_RB: Tensor) -> Tensor:
            self._heed()
            inputs = self._data.prepare(part.inputs_of(index_RB.flatten()))
            return self._forward(self._batches.to_members(by_replicate(inputs, index_RB)))

        def targets_of(index_RB: Tensor) -> Tensor:
            return self._batches.to_members(by_replicate(part.targets_of(index_RB.flatten()), index_RB))

        shape = (len(self.members), self._data.classes)
        pixels = part.inputs.shape[2:].numel()
        with computing(self.spec.precision, self._data.device):
            return evaluate(
                logits_of, targets_of, index_RN, members_and_classes=shape, pixels=pixels, device=self._data.device,
                trained=self.spec.batch_size,
            )  # fmt: skip

    def _tensors(self) -> dict[str, Tensor]:
        importance_KC = self._criterion.importance_KC
        return self._buffers() | dict(self._moments) | {"values": self._flat.values_KP, "importance": importance_KC}

    def _buffers(self) -> dict[str, Tensor]:
        """By names that nothing else has, whatever the model calls them."""
        return {f"buffers.{name}": buffer for name, buffer in self.model.named_buffers()}

    def _at(self, members: Sequence[int], rows: Tensor | slice) -> "Cohort":
        replicates_K = [self._batches.replicates_K[k] for k in members]
        tensors = {name: tensor[rows] for name, tensor in self._tensors().items()}
        return self._of([self.members[k] for k in members], replicates_K, tensors)

    def _of(
        self, members: Sequence[Member], replicates_K: Sequence[Replicate], tensors: Mapping[str, Tensor]
    ) -> "Cohort":
        """A cohort of this kind with other members, which goes on from where these replicates are."""
        other = copy.copy(self)
        other.model = twin(self.model)
        other._flat = Flat(other.model.parameters(), tensors["values"])
        other._hold(members, replicates_K, tensors)
        return other

    def _hold(
        self, members: Sequence[Member], replicates_K: Sequence[Replicate], tensors: Mapping[str, Tensor]
    ) -> None:
        self.members, self._batches = list(members), Batches(replicates_K, self._data)
        for name in self._buffers():
            path, _, own = name.removeprefix("buffers.").rpartition(".")
            setattr(self.model.get_submodule(path), own, tensors[name])
        specs = [member.trial for member in members]
        class_counts_KC = torch.stack([one.class_counts for one in replicates_K])
        self._criterion = Criterion(specs, class_counts_KC, tensors["importance"])
        self._index_A = torch.tensor(self._criterion.adaptive, dtype=torch.int64, device=self._data.device)
        self._moments = {name: tensors[name] for name in OPTIMIZERS[self.spec.optimizer].vectors}
        self._optimizer = OPTIMIZERS[self.spec.optimizer](specs, self._moments)
        self._graphed = Graphed() if self._graphs else None
