"""Models that do more in their forward pass than their layers tell."""

import types

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.checkpoint import checkpoint

from worker.training.stacked import Stackable

FEATURES, CLASSES = 6, 3


class Net(Stackable):
    """Two layers, which the classes below misuse."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b = nn.Linear(FEATURES, 8), nn.Linear(8, CLASSES)

    def forward(self, inputs: Tensor) -> Tensor:
        logits: Tensor = self.b(torch.tanh(self.a(inputs)))
        return logits


class Listed(Net):
    """Its layers stand in a list of Python's too, which no copy replaces."""

    def __init__(self) -> None:
        super().__init__()
        self.listed = [self.a, nn.Tanh(), self.b]

    def forward(self, inputs: Tensor) -> Tensor:
        for layer in self.listed:
            inputs = layer(inputs)
        return inputs


class Bound(Net):
    """It keeps a method, which keeps the first member."""

    def __init__(self) -> None:
        super().__init__()
        self.head = self.head_of

    def head_of(self, inputs: Tensor) -> Tensor:
        logits: Tensor = self.b(inputs)
        return logits

    def forward(self, inputs: Tensor) -> Tensor:
        return self.head(self.a(inputs))


class Drawn(Net):
    """A number of each member's own that is neither parameter nor buffer."""

    def __init__(self) -> None:
        super().__init__()
        self.scale = torch.rand(FEATURES)

    def forward(self, inputs: Tensor) -> Tensor:
        return super().forward(inputs * self.scale.to(inputs.dtype))


class FromTheFront(Net):
    """A dimension counted from the front."""

    def forward(self, inputs: Tensor) -> Tensor:
        return super().forward(inputs).softmax(1)


class OverAll(Net):
    """A norm over all members together."""

    def forward(self, inputs: Tensor) -> Tensor:
        return super().forward(inputs / inputs.norm())


class Centred(Net):
    """A mean over all members together, which is their own where they share their inputs."""

    def forward(self, inputs: Tensor) -> Tensor:
        return super().forward(inputs - inputs.mean())


class Branches(Net):
    """A way for large inputs, whosever they are."""

    def forward(self, inputs: Tensor) -> Tensor:
        return super().forward(inputs) * (2 if inputs.max() > 4 else 1)


class OfWholeNumbers(Net):
    """It takes no other inputs, and counts its dimensions from the front."""

    def forward(self, inputs: Tensor) -> Tensor:
        digits = functional.one_hot(inputs.long(), 10).to(inputs.dtype).argmax(-1).to(inputs.dtype)
        return super().forward(digits - digits.mean(0))


class Draws(Net):
    """Dropout that is no layer."""

    share = 0.5

    def forward(self, inputs: Tensor) -> Tensor:
        return super().forward(functional.dropout(inputs, self.share, self.training))


class SeldomDraws(Draws):
    """Dropout that is no layer, and that leaves a handful of inputs as they are more often than not."""

    share = 0.01


class DrawsInEvaluation(Net):
    """Dropout, once in a while, where there should be none."""

    def forward(self, inputs: Tensor) -> Tensor:
        return super().forward(functional.dropout(inputs, 0.01, not self.training))


class InPlace(Net):
    """Changes the inputs that all members share."""

    def forward(self, inputs: Tensor) -> Tensor:
        inputs -= 0.5
        return super().forward(inputs)


class Assigns(nn.Module):
    """A buffer that is replaced."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(FEATURES, CLASSES)
        self.register_buffer("level", torch.zeros(FEATURES))

    def forward(self, inputs: Tensor) -> Tensor:
        self.level = 0.9 * self.level + 0.1 * inputs.mean(dim=0).detach()
        logits: Tensor = self.layer(inputs - self.level)
        return logits


class Recomputes(nn.Module):
    """Its first layer is computed again in the backward pass."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b = nn.Linear(FEATURES, 8), nn.Linear(8, CLASSES)

    def forward(self, inputs: Tensor) -> Tensor:
        logits: Tensor = self.b(checkpoint(nn.Sequential(self.a, nn.Tanh()), inputs, use_reentrant=False))
        return logits


class Temperature(nn.Module):
    """A parameter without a dimension."""

    def __init__(self) -> None:
        super().__init__()
        self.layer, self.temperature = nn.Linear(FEATURES, CLASSES), nn.Parameter(torch.tensor(1.5))

    def forward(self, inputs: Tensor) -> Tensor:
        logits: Tensor = self.layer(inputs) * self.temperature
        return logits


class AlwaysDrops(nn.Module):
    """Draws in evaluation too."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(FEATURES, CLASSES)

    def forward(self, inputs: Tensor) -> Tensor:
        logits: Tensor = self.layer(functional.dropout(inputs, 0.5, training=True))
        return logits


class Normalised(nn.Module):
    """A buffer whose name the optimizers use for a moment."""

    def __init__(self, name: str) -> None:
        super().__init__()
        self.name, self.layer = name, nn.Linear(FEATURES, CLASSES)
        self.register_buffer(name, torch.full((CLASSES,), 0.3))

    def forward(self, inputs: Tensor) -> Tensor:
        logits: Tensor = self.layer(inputs) + self.get_buffer(self.name)
        return logits


def hooked() -> nn.Module:
    net = Net()
    net.a.weight.register_hook(lambda gradient: 0 * gradient)
    return net


def replaced() -> nn.Module:
    net = Net()
    net.a.forward = types.MethodType(lambda layer, inputs: nn.Linear.forward(layer, 2 * inputs), net.a)  # type: ignore[method-assign]
    return net


def pre_hooked() -> nn.Module:
    net = Net()
    net.b.register_full_backward_pre_hook(lambda _layer, gradients: tuple(3 * one for one in gradients))
    return net
