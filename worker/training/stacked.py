"""Models of many members as one, layer by layer; and a model that has no such form, as a stack of one."""

import copy
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from .layers import BatchNorm2d, Conv2d, Dropout, Flatten, Linear, Spatial, stacked


class Stackable(nn.Module):
    """A module whose forward counts its dimensions from the end, so that members in front do not disturb it.

    What it learns is in its layers: one with parameters or buffers of its own is trained alone.
    """


class Alone(nn.Module):
    """A model that cannot be stacked, as a stack of one; what it draws, in dropout say, comes from its member's seed.

    Weights that it shares stay shared, and those that are frozen stay as they are.
    """

    def __init__(self, model: nn.Module) -> None:
        """Takes the model's weights and buffers with a member in front, and the rest as it is."""
        super().__init__()
        self._bare = (model,)
        self._names: dict[str, str] = {}
        self._stream, self._device = torch.get_rng_state(), torch.device("cpu")
        for name, parameter in model.named_parameters():
            own = self._names[name] = name.replace(".", "/")
            if parameter.requires_grad:
                self.register_parameter(own, stacked([parameter]))
            else:
                self.register_buffer(own, parameter.detach()[None])
        for name, buffer in model.named_buffers():
            own = self._names[name] = name.replace(".", "/")
            self.register_buffer(own, buffer[None])

    def reseed(self, seeds: Sequence[int], device: torch.device) -> None:
        """Starts what the model draws anew."""
        (seed,) = seeds
        self._stream, self._device = torch.Generator(device).manual_seed(seed).get_state(), device

    def forward(self, inputs: Tensor) -> Tensor:
        """(1, B, …)."""
        (model,) = self._bare
        tensors = {name: getattr(self, own)[0] for name, own in self._names.items()}
        model.train(self.training)
        on_gpu = self._device.type == "cuda"
        with torch.random.fork_rng(devices=[self._device] if on_gpu else []):
            generator = torch.cuda.default_generators[inputs.get_device()] if on_gpu else torch.default_generator
            generator.set_state(self._stream)
            logits: Tensor = torch.func.functional_call(model, tensors, (inputs[0],))
            if self.training:  # what it draws in evaluation is the same each time, and moves nothing
                self._stream = generator.get_state()
        return logits[None]


def _as_it_is(layers: Sequence[nn.Module]) -> nn.Module:
    return layers[0]


def _spatial(layers: Sequence[nn.Module]) -> nn.Module:
    return Spatial(layers[0])


def _any(_layer: nn.Module) -> bool:
    return True


_LAYERS: Mapping[type[nn.Module], tuple[Callable[[Any], nn.Module], Callable[[Any], bool]]] = {
    nn.Linear: (Linear, _any),
    nn.Conv2d: (Conv2d, lambda layer: layer.padding_mode == "zeros"),
    nn.BatchNorm2d: (
        BatchNorm2d,
        lambda layer: layer.affine and layer.track_running_stats and layer.momentum is not None,
    ),
    nn.MaxPool2d: (_spatial, lambda layer: not layer.return_indices),
    nn.AvgPool2d: (_spatial, _any),
    nn.AdaptiveAvgPool2d: (_spatial, _any),
    nn.Upsample: (_spatial, _any),
    nn.Flatten: (lambda _layers: Flatten(), lambda layer: (layer.start_dim, layer.end_dim) == (1, -1)),
    nn.Dropout: (Dropout, _any),
    nn.Dropout2d: (Dropout, _any),
    **{kind: (_as_it_is, _any) for kind in (nn.Identity, nn.ReLU, nn.LeakyReLU, nn.GELU, nn.SiLU, nn.Tanh)},
}
"""How the layers of members become one, and whether one with these options does; what is missing cannot be stacked."""


def obstacle(model: nn.Module) -> str | None:
    """What in the model's layers says that it has no stacked form; None where nothing does."""
    if any(not parameter.requires_grad for parameter in model.parameters()):
        return "it has frozen weights"
    named = [tensor for _, tensor in model.named_parameters(remove_duplicate=False)]
    if len(named) != len({id(tensor) for tensor in named}):
        return "its layers share weights"
    return next(filter(None, map(_obstacle, model.modules())), None)


def _obstacle(module: nn.Module) -> str | None:
    name = type(module).__name__
    if any((module._forward_hooks, module._forward_pre_hooks, module._backward_hooks, module._backward_pre_hooks)):
        return f"{name} has hooks"
    if type(module) in _LAYERS:
        return None if _LAYERS[type(module)][1](module) else f"no stacked form of {module} is known"
    if type(module) not in (nn.Sequential, nn.ModuleList) and not isinstance(module, Stackable):
        return f"no stacked form of {name} is known"
    own = [*module._parameters, *module._buffers]
    return f"{name} has {own[0]!r} of its own" if own else None


def stack(models: Sequence[nn.Module], *, reason: str | None = None) -> nn.Module:
    """One module for models of one shape, each with its own weights; a single one may be of any kind.

    Raises ValueError where several cannot be stacked, for whatever is an obstacle or for the `reason` that is given.
    """
    reason = reason or obstacle(models[0])
    if reason is None:
        return _stack(models, {})
    if len(models) > 1:
        raise ValueError(f"Expected models that can be stacked, got one of which {reason}. Train them one by one.")
    return Alone(models[0])


def _stack(models: Sequence[nn.Module], made: dict[int, nn.Module]) -> nn.Module:
    """`made` are the stacks of what has been met before: a layer may stand in several places."""
    first = models[0]
    if id(first) not in made:
        make, _ = _LAYERS.get(type(first), (None, None))
        if make is not None:
            made[id(first)] = make(models)
        else:
            whole = made[id(first)] = copy.copy(first)
            children = {name: [model._modules[name] for model in models] for name in first._modules}
            whole._modules = {
                name: None if alike[0] is None else _stack([one for one in alike if one is not None], made)
                for name, alike in children.items()
            }
    return made[id(first)]


def twin(whole: nn.Module, made: dict[int, nn.Module] | None = None) -> nn.Module:
    """A stack once more, whose parameters and buffers are the same tensors until it is given others."""
    made = {} if made is None else made
    if id(whole) not in made:
        other = made[id(whole)] = copy.copy(whole)
        other._parameters = {
            name: None if parameter is None else nn.Parameter(parameter.data)
            for name, parameter in whole._parameters.items()
        }
        other._buffers = dict(whole._buffers)
        other._modules = {
            name: None if module is None else twin(module, made) for name, module in whole._modules.items()
        }
    return made[id(whole)]


def drawing(model: nn.Module) -> list[Dropout | Alone]:
    """The parts of a stack that draw random numbers while it learns, or may."""
    return [module for module in model.modules() if isinstance(module, Dropout | Alone)]
