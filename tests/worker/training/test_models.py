"""The models by name: shapes, sizes, seeds and refusals."""

from collections.abc import Callable

import pytest
import torch
from torch import nn

from worker.training.models import MODELS, build_model


def build(name: str, shape: tuple[int, ...], *, seed: int = 3, **params: int) -> nn.Module:
    """A model of five classes."""
    return build_model(name, input_shape=shape, classes=5, params=params, seed=seed)


def size(model: nn.Module) -> int:
    """The number of trained numbers."""
    return sum(parameter.numel() for parameter in model.parameters())


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("shape", [(1, 8, 8), (3, 12, 9), (1, 28, 28)])
def test_every_model_gives_logits_for_images(name: str, shape: tuple[int, ...]) -> None:
    model = build(name, shape).eval()
    by_pixel = shape[1:] if name == "unet" else ()
    assert model(torch.zeros(2, *shape)).shape == (2, 5, *by_pixel)


@pytest.mark.parametrize("name", ["linear", "mlp"])
def test_models_of_vectors_give_logits_for_vectors(name: str) -> None:
    assert build(name, (7,))(torch.zeros(2, 7)).shape == (2, 5)


@pytest.mark.parametrize("name", ["small_cnn", "resnet32", "resnet18", "unet"])
@pytest.mark.parametrize("shape", [(64,), (3, 4, 9)])
def test_models_of_images_refuse_anything_else(name: str, shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match=rf"Expected images .* for {name}, got .* Choose linear or mlp"):
        build(name, shape)


def test_resnet32_has_the_published_number_of_parameters() -> None:
    model = build_model("resnet32", input_shape=(3, 32, 32), classes=10, params={}, seed=0)
    assert size(model) == 464_154


def test_width_and_depth_of_the_mlp_are_those_asked_for() -> None:
    assert size(build("mlp", (64,))) == 64 * 128 + 128 + 128 * 5 + 5
    assert size(build("mlp", (2,), width=4, depth=2)) == (2 * 4 + 4) + (4 * 4 + 4) + (4 * 5 + 5)
    assert size(build("small_cnn", (1, 8, 8), width=2)) == 9 * (2 + 8 + 32) + 2 * 14 + 8 * 5 + 5


@pytest.mark.parametrize("name", MODELS)
def test_weights_depend_on_the_seed_alone(name: str) -> None:
    def weights(seed: int) -> torch.Tensor:
        torch.rand(1)
        return nn.utils.parameters_to_vector(build(name, (3, 8, 8), seed=seed).parameters())

    assert torch.equal(weights(3), weights(3))
    assert not torch.equal(weights(3), weights(4))


def test_building_leaves_the_global_generator_alone() -> None:
    before = torch.get_rng_state()
    build("mlp", (2,))
    assert torch.equal(torch.get_rng_state(), before)


def test_unknown_models_and_parameters_are_refused_with_the_known_ones() -> None:
    with pytest.raises(ValueError, match=r"among linear, mlp, .* got 'transformer'"):
        build("transformer", (2,))
    with pytest.raises(ValueError, match=r"of mlp among width, depth, dropout, got heads"):
        build("mlp", (2,), heads=4)
    with pytest.raises(ValueError, match=r"of linear among none, got width"):
        build("linear", (2,), width=4)


def named(monkeypatch: pytest.MonkeyPatch, model: Callable[[], nn.Module]) -> None:
    """Lets "own" name a model of six features."""
    monkeypatch.setitem(MODELS, "own", lambda input_shape, classes: model())  # type: ignore[arg-type]


def test_sparse_gradients_are_refused_with_the_layer_and_the_remedy(monkeypatch: pytest.MonkeyPatch) -> None:
    for kind in (nn.Embedding, nn.EmbeddingBag):
        named(monkeypatch, lambda kind=kind: nn.Sequential(kind(10, 4, sparse=True)))  # type: ignore[misc]
        with pytest.raises(ValueError, match=rf"got own, whose {kind.__name__} '0' asks .* Build it with sparse=False"):
            build("own", (6,))
    named(monkeypatch, lambda: nn.Sequential(nn.Embedding(10, 4, sparse=True).requires_grad_(False)))
    build("own", (6,))


def test_lazy_layers_are_refused_until_they_have_their_shapes(monkeypatch: pytest.MonkeyPatch) -> None:
    def lazy(*layers: nn.Module) -> nn.Module:
        return nn.Sequential(nn.Linear(6, 8), *layers, nn.LazyLinear(5))

    def called_once() -> nn.Module:
        model = lazy(nn.LazyBatchNorm1d())
        model(torch.zeros(2, 6))
        return model

    for layers, which in (((), "LazyLinear '1'"), ((nn.LazyBatchNorm1d(affine=False),), "LazyBatchNorm1d '1'")):
        named(monkeypatch, lambda layers=layers: lazy(*layers))  # type: ignore[misc]
        with pytest.raises(ValueError, match=rf"got own, whose {which} has none yet\. Build it with the number of its"):
            build("own", (6,))
    named(monkeypatch, called_once)
    assert build("own", (6,))(torch.zeros(2, 6)).shape == (2, 5)
