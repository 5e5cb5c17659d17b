"""Models of every odd kind, in a stack or alone, against the same models in plain PyTorch, in float64."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from worker.training.layers import Dropout
from worker.training.optimization import Flat
from worker.training.stacked import Alone, Stackable, drawing, obstacle, stack

PLANE, IMAGES = torch.Size([7, 6]), torch.Size([5, 3, 8, 8])
Build = Callable[[], nn.Module]


class Residual(Stackable):
    """A sum over a layer, which has no layer of its own."""

    def __init__(self) -> None:
        super().__init__()
        self.inner, self.head, self.act = nn.Linear(6, 6), nn.Linear(6, 4), nn.ReLU()

    def forward(self, inputs: Tensor) -> Tensor:
        logits: Tensor = self.head(self.act(inputs + self.inner(inputs)))
        return logits


class Scaled(Residual):
    """A parameter that belongs to no layer."""

    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.randn(4))

    def forward(self, inputs: Tensor) -> Tensor:
        return super().forward(inputs) * self.scale


class Noisy(Residual):
    """A buffer that is not saved."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("noise", torch.randn(6), persistent=False)

    def forward(self, inputs: Tensor) -> Tensor:
        return super().forward(inputs + self.get_buffer("noise"))


class Tied(Residual):
    """Two layers of one weight."""

    def __init__(self) -> None:
        super().__init__()
        self.twin = nn.Linear(6, 6)
        self.twin.weight = self.inner.weight

    def forward(self, inputs: Tensor) -> Tensor:
        return super().forward(self.twin(inputs))


class Spare(nn.Module):
    """A layer that no loss depends on."""

    def __init__(self) -> None:
        super().__init__()
        self.used, self.spare = nn.Linear(6, 4), nn.Linear(6, 4)

    def forward(self, inputs: Tensor) -> Tensor:
        logits: Tensor = self.used(inputs)
        return logits


def frozen() -> nn.Module:
    model = Residual()
    model.inner.requires_grad_(False)
    return model


def hooked() -> nn.Module:
    model = Residual()
    model.inner.register_forward_hook(lambda _module, _inputs, output: 2 * output)
    return model


def one_layer_twice() -> nn.Module:
    act = nn.ReLU()
    return nn.Sequential(nn.Linear(6, 5), act, nn.Linear(5, 5), act, nn.Linear(5, 4))


def among(*layers: Build, channels: int = 6) -> Build:
    """These layers behind a convolution to `channels`, and a linear one behind them."""

    def build() -> nn.Module:
        return nn.Sequential(
            nn.Conv2d(3, channels, 3), *(layer() for layer in layers), nn.AdaptiveAvgPool2d(2), nn.Flatten(),
            nn.LazyLinear(4),
        )  # fmt: skip

    return build


STACKED: dict[str, tuple[Build, torch.Size]] = {
    "a sum": (Residual, PLANE),
    "one layer in two places": (one_layer_twice, PLANE),
    "no bias": (lambda: nn.Sequential(nn.Linear(6, 4, bias=False)), PLANE),
    "linear over rows": (lambda: nn.Sequential(nn.Linear(8, 5), nn.Tanh(), nn.Flatten(), nn.Linear(120, 4)), IMAGES),
    "dilation": (among(lambda: nn.Conv2d(6, 4, 3, dilation=2)), IMAGES),
    "groups": (among(lambda: nn.Conv2d(6, 9, 3, groups=3, stride=(2, 1))), IMAGES),
    "same padding": (among(lambda: nn.Conv2d(6, 4, 5, padding="same", bias=False)), IMAGES),
    "norm of one channel": (among(lambda: nn.BatchNorm2d(1), nn.ReLU, channels=1), IMAGES),
    "norm of odd rates": (among(lambda: nn.BatchNorm2d(6, eps=0.1, momentum=0.3), nn.GELU), IMAGES),
    "pooling": (among(lambda: nn.AvgPool2d(2), lambda: nn.Upsample(scale_factor=3), nn.LeakyReLU), IMAGES),
}
ALONE: dict[str, tuple[Build, torch.Size, str]] = {
    "own parameter": (Scaled, PLANE, "Scaled has 'scale' of its own"),
    "own buffer": (Noisy, PLANE, "Noisy has 'noise' of its own"),
    "tied": (Tied, PLANE, "its layers share weights"),
    "frozen": (frozen, PLANE, "it has frozen weights"),
    "hooked": (hooked, PLANE, "Linear has hooks"),
    "spare": (Spare, PLANE, "no stacked form of Spare"),
    "padding": (among(lambda: nn.Conv2d(6, 6, 3, padding=1, padding_mode="circular")), IMAGES, "no stacked form of C"),
    "no moments": (among(lambda: nn.BatchNorm2d(6, track_running_stats=False)), IMAGES, "no stacked form of B"),
    "no scale": (among(lambda: nn.BatchNorm2d(6, affine=False)), IMAGES, "no stacked form of B"),
    "all batches": (among(lambda: nn.BatchNorm2d(6, momentum=None)), IMAGES, "no stacked form of B"),
    "group norm": (among(lambda: nn.GroupNorm(2, 6)), IMAGES, "no stacked form of GroupNorm"),
    "flat from 2": (lambda: nn.Sequential(nn.Flatten(2), nn.Linear(64, 4), nn.Flatten()), IMAGES, "no stacked form"),
}  # fmt: skip


def built(build: Build, shape: torch.Size, count: int) -> list[nn.Module]:
    """Models with weights of their own, float64; the lazy ones made."""
    models = []
    for seed in range(count):
        torch.manual_seed(seed)
        model = build().double()
        with torch.no_grad():
            model.eval()(torch.zeros(shape, dtype=torch.float64))
        models.append(model.train())
    return models


def assert_like_plain(build: Build, shape: torch.Size, *, count: int) -> None:
    """Three steps of plain descent: logits, gradients and buffers of every member are those of the model itself."""
    models, others = built(build, shape, count), built(build, shape, count)
    whole = stack(others)
    flat = Flat(list(whole.parameters()))
    for step in range(3):
        inputs = torch.randn(shape, dtype=torch.float64, generator=torch.Generator().manual_seed(step))
        logits_K = whole(inputs.expand(count, *shape))
        gradient_KP = flat.gradient(logits_K.square().sum())
        for member, model in enumerate(models):
            logits = model(inputs)
            torch.testing.assert_close(logits_K[member], logits, rtol=0, atol=1e-10)
            weights = [parameter for parameter in model.parameters() if parameter.requires_grad]
            gradients = torch.autograd.grad(logits.square().sum(), weights, materialize_grads=True)
            expected = torch.cat([gradient.flatten() for gradient in gradients])
            torch.testing.assert_close(gradient_KP[member], expected, rtol=0, atol=1e-10)
            with torch.no_grad():
                for weight, gradient in zip(weights, gradients, strict=True):
                    weight -= 0.001 * gradient
        flat.values_KP.sub_(0.001 * gradient_KP)
    whole.eval()
    inputs = torch.ones(shape, dtype=torch.float64)
    for member, model in enumerate(models):
        torch.testing.assert_close(
            whole(inputs.expand(count, *shape))[member], model.eval()(inputs), rtol=0, atol=1e-10
        )


@pytest.mark.parametrize("name", STACKED)
def test_a_stack_is_its_models(name: str) -> None:
    build, shape = STACKED[name]
    assert obstacle(built(build, shape, 1)[0]) is None
    assert_like_plain(build, shape, count=3)
    assert_like_plain(build, shape, count=1)


@pytest.mark.parametrize("name", ALONE)
def test_what_cannot_be_stacked_says_why_and_is_its_model(name: str) -> None:
    build, shape, reason = ALONE[name]
    found = obstacle(built(build, shape, 1)[0])
    assert found is not None and found.startswith(reason)
    assert_like_plain(build, shape, count=1)
    with pytest.raises(ValueError, match=r"Expected models that can be stacked, got one of which .* one by one"):
        stack(built(build, shape, 2))


def test_dropout_has_the_masks_of_its_seed_whoever_stands_beside() -> None:
    layer = Dropout([nn.Dropout(0.25)] * 3)
    ones = torch.ones(3, 400, 50)
    layer.reseed([4, 7, 4], torch.device("cpu"))
    first_K, second_K = layer(ones), layer(ones)
    assert first_K.unique().tolist() == [0.0, pytest.approx(1 / 0.75)]
    assert (first_K == 0).float().mean((1, 2)).tolist() == pytest.approx([0.25] * 3, abs=0.02)
    assert torch.equal(first_K[0], first_K[2])
    assert not torch.equal(first_K[0], first_K[1])
    assert not torch.equal(first_K, second_K)
    layer.reseed([7], torch.device("cpu"))
    assert torch.equal(layer(ones[:1]), first_K[1:2])
    assert torch.equal(layer.eval()(ones), ones)


def test_dropout_by_channel_takes_or_leaves_whole_channels() -> None:
    layer = Dropout([nn.Dropout2d(0.5)] * 2)
    layer.reseed([1, 2], torch.device("cpu"))
    seen = layer(torch.ones(2, 30, 10, 4, 4))
    assert torch.equal(seen, seen[..., :1, :1].expand_as(seen))
    assert 0.35 < float((seen == 0).float().mean()) < 0.65


def test_everything_out_is_nothing() -> None:
    layer = Dropout([nn.Dropout(1.0)])
    layer.reseed([1], torch.device("cpu"))
    assert not layer(torch.ones(1, 4, 4)).any()


def test_a_model_alone_draws_from_its_own_stream_and_leaves_the_global_one() -> None:
    alone = stack([nn.Sequential(nn.GroupNorm(1, 6), nn.Dropout(0.5))])
    assert isinstance(alone, Alone) and drawing(alone) == [alone]
    before, ones = torch.get_rng_state(), torch.rand(1, 7, 6)
    torch.set_rng_state(before)
    alone.reseed([3], torch.device("cpu"))
    first, second = alone(ones), alone(ones)
    alone.reseed([3], torch.device("cpu"))
    torch.rand(5)
    assert torch.equal(alone(ones), first)
    assert not torch.equal(first, second)
    torch.set_rng_state(before)
    alone(ones)
    assert torch.equal(torch.get_rng_state(), before)
