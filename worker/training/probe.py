"""Whether the form that a model learns in here is the model: logits, buffers and gradients against plain PyTorch.

What a module does in its forward pass cannot be read from its layers: it may keep them in a list as well, count
dimensions from the front, draw numbers of its own, or look at all inputs together. So every kind of model is tried
once, on a handful of inputs that two members share and on a handful that each has of its own.
"""

from collections.abc import Callable, Mapping, Sequence
from functools import cache
from itertools import product

import torch
from torch import Tensor, nn

from .data import DeviceData
from .models import build_model
from .stacked import Alone, drawing, obstacle, stack
from .trial import TrialSpec

_SAMPLES, _SIDE = 3, 16
_SEED = 0
"""Of what the inputs, and the model itself, draw."""
_NEXT_TO_NONE = 1e-15
"""Of dropout: its layers are called, and drop nothing."""
_TOLERANCES = {torch.float64: 1e-6, torch.float32: 1e-3}
"""Of the largest number compared."""
_LARGER = 4.0
"""Each member's own inputs than those of the one before, so that what is looked at in all of them differs."""
_UNTRIED = "it takes none of the random inputs that it was to be tried on"


def no_stack(trial: TrialSpec, data: DeviceData) -> str | None:
    """Why members of the trial's model learn one by one; None where they can learn as one.

    Raises ValueError where it cannot be trained here at all, since even by itself it would not be the model.
    """
    params = tuple(sorted(trial.model_params.items()))
    return _no_stack(trial.model, params, data.input_shape, data.classes)


def can_stack(trial: TrialSpec, data: DeviceData) -> bool:
    """Whether members of the trial's model can learn as one."""
    return no_stack(trial, data) is None


@cache
def _no_stack(
    name: str, params: tuple[tuple[str, float], ...], input_shape: tuple[int, ...], classes: int
) -> str | None:
    def models(count: int) -> list[nn.Module]:
        return [
            build_model(name, input_shape=input_shape, classes=classes, params=dict(params), seed=seed)
            for seed in range(count)
        ]

    reason = obstacle(*models(1)) or departure(models(2), models(2), input_shape, stack)
    if reason is None:
        return None
    wrong = departure(models(1), models(1), input_shape, lambda alone: Alone(*alone))
    if wrong not in (None, _UNTRIED):
        raise ValueError(
            f"Expected a model that learns by its parameters and changes its buffers in place, got {name}: {wrong}."
        )
    return reason


def departure(
    models: Sequence[nn.Module],
    again: Sequence[nn.Module],
    input_shape: tuple[int, ...],
    form_of: Callable[[Sequence[nn.Module]], nn.Module],
) -> str | None:
    """In what the form of models differs from them; None where it does not.

    What is compared comes of random inputs: logits in training and evaluation, buffers afterwards, and gradients.
    Layers of dropout, which draw otherwise in a stack, are kept from dropping. Both lists hold the same models.
    """
    for model in (*models, *again):
        _keep_all(model)
    form, members = form_of(again), len(again)
    # Smaller images do as well and take less time, unless the model is made for just these.
    shapes = dict.fromkeys(
        [torch.Size([*input_shape[:1], *(min(side, _SIDE) for side in input_shape[1:])]), input_shape]
    )
    for shape, (dtype, tolerance) in product(shapes, _TOLERANCES.items()):
        batches = _shared_and_own(shape, dtype, members=members)
        try:
            expected = [
                [_seen(model.to(dtype), inputs_RB[k % len(inputs_RB)])[0] for inputs_RB in batches]
                for k, model in enumerate(models)
            ]
        except Exception:  # what is wrong with the model itself is said where it is trained
            continue
        try:
            tried = [_seen(form.to(dtype), inputs_RB, members=members) for inputs_RB in batches]
        except Exception as error:
            return f"in its form here it fails, {type(error).__name__}: {str(error)[:200]}"
        if any(draws for _, draws in tried):  # a mask that drops little is all ones on a handful of inputs
            return "it draws random numbers outside of layers of dropout"
        return next(
            (
                f"its {what} are others in its form here"
                for at, (found, _) in enumerate(tried)
                for what, tensors in found.items()
                if not _are_close(tensors, [one[at][what] for one in expected], tolerance)
            ),
            None,
        )
    return _UNTRIED


def _shared_and_own(shape: torch.Size, dtype: torch.dtype, *, members: int) -> list[Tensor]:
    """Inputs (1, B, …) for all members and (K, B, …), a batch a member."""
    generator = torch.Generator().manual_seed(_SEED)
    shared, own = (torch.randn(rows, _SAMPLES, *shape, generator=generator, dtype=dtype) for rows in (1, members))
    return [shared, own * _LARGER ** torch.arange(members).view(-1, *[1] * (own.ndim - 1))]


def _keep_all(model: nn.Module) -> None:
    for module in model.modules():
        if isinstance(module, nn.Dropout | nn.Dropout2d):
            module.p = _NEXT_TO_NONE


def _seen(
    module: nn.Module, inputs: Tensor, *, members: int | None = None
) -> tuple[dict[str, dict[str, Tensor]], bool]:
    """Tensors by name, by what they are, of a model or of the form of some members; these stand in front.

    Inputs are (B, …) for a model, (1, B, …) or (K, B, …) for members, those of one seed share theirs.

    And whether it moved torch's global generator: the CPU's, for what draws on a GPU draws there on a CPU's inputs.
    """
    still = torch.Generator().manual_seed(_SEED).get_state()

    def forward() -> Tensor:
        torch.default_generator.set_state(still)
        for part in drawing(module):
            part.reseed([_SEED] * (members or 1), torch.device("cpu"))
        own = inputs.clone()
        logits: Tensor = module(own if members is None else own.expand(members, *own.shape[1:]))
        return logits[None] if members is None else logits

    with torch.random.fork_rng(devices=[]):
        module.train()
        logits_KB = forward()
        weights_B = torch.arange(logits_KB[0].numel(), dtype=logits_KB.dtype).cos().view_as(logits_KB[0])
        learning = {name: one for name, one in module.named_parameters() if one.requires_grad}
        gradients = torch.autograd.grad((logits_KB * weights_B).sum(), list(learning.values()), materialize_grads=True)
        buffers = {name: buffer.clone() for name, buffer in module.named_buffers()}
        draws = not torch.equal(torch.get_rng_state(), still)
        module.eval()
        with torch.no_grad():
            evaluated_KB = forward()
        draws = draws or not torch.equal(torch.get_rng_state(), still)
    seen = {
        "logits": {"": logits_KB.detach()},
        "logits in evaluation": {"": evaluated_KB},
        "buffers": {_plain(name): buffer for name, buffer in buffers.items()},
        "gradients": {_plain(name): gradient for name, gradient in zip(learning, gradients, strict=True)},
    }
    return seen, draws


def _plain(name: str) -> str:
    return name.replace("/", ".").replace(".layer.", ".")


def _are_close(form: Mapping[str, Tensor], models: Sequence[Mapping[str, Tensor]], tolerance: float) -> bool:
    """Compares what both know by name, a number against the largest of all."""
    rows = [
        (tensor[member].flatten().double(), of_model[name].flatten().double())
        for member, of_model in enumerate(models)
        for name, tensor in form.items()
        if name in of_model
    ]
    if not rows:
        return True
    found, expected = (torch.cat(column) for column in zip(*rows, strict=True))
    return torch.allclose(
        found, expected, rtol=0, atol=tolerance * max(1e-30, expected.abs().max().item()), equal_nan=True
    )
