"""How an attempt's run is called in MLflow, and the parameters and tags that it carries."""

import platform
from collections.abc import Sequence
from dataclasses import asdict

import torch

from sweep.metric_keys import MAX_CLASS_CURVES
from sweep.plan import Scenario
from sweep.split import index_hash
from sweep.store import Sweep
from sweep.studies import Claim
from sweep.tracking import SWEEP_TAG, TRIAL_TAG

from .room import Room
from .training.data import DeviceData
from .training.trial import Member, TrialSpec


def run_name(claim: Claim, scenario: Scenario, trial: TrialSpec) -> str:
    """A name that tells the trial in MLflow's table, which shows no parameters by itself.

    `alpha=0.0123 exponential×50 adaptive #7`; what else was searched stands behind alpha, a baseline has no alpha.
    """
    searched = {"alpha": trial.loss_params["alpha"]} if "alpha" in trial.loss_params else {}
    shown = [f"{name}={_short(value)}" for name, value in {**searched, **claim.params}.items()]
    return " ".join([*shown, scenario.title, trial.loss, f"#{claim.number}"])


def run_params(
    sweep: Sweep, scenario: Scenario, members: Sequence[Member], data: DeviceData, *, content: str, room: Room
) -> dict[str, object]:
    """Everything that made the numbers: enough to train the trial again without the service.

    The room's `width` is how many members may learn as one stack: 1 where the model is not the quicker for it, or
    cannot, of which `stacked` says why.
    """
    trial = asdict(members[0].trial)
    loss_params = trial.pop("loss_params")
    model_params = trial.pop("model_params")
    counts = _measured_counts(members, data)
    named_counts = dict(zip(sweep.dataset.classes, counts, strict=True))
    return {
        **loss_params,
        "dataset": sweep.spec.dataset.name,
        **{f"dataset_{name}": value for name, value in sweep.spec.dataset.params.items()},
        "dataset_content": content,
        "profile": scenario.profile,
        "ratio": scenario.ratio,
        **trial,
        **{f"model_{name}": value for name, value in model_params.items()},
        "seed": sweep.spec.seed,
        "seeds": [member.seed for member in members],
        "replicates": len(members),
        "counts": named_counts if len(named_counts) <= MAX_CLASS_CURVES else counts,
        "class_order": sweep.spec.class_order,
        "validation": sweep.spec.validation.model_dump_json(),
        "train_index": [index_hash(member.train_index) for member in members],
        "sampler": sweep.spec.sampler,
        "objective": sweep.spec.objective,
        "device": data.device.type,
        "threads": torch.get_num_threads(),
        "width": room.width,
        "stacked": room.stacked,
        "torch": torch.__version__,
        "python": platform.python_version(),
    }


def _measured_counts(members: Sequence[Member], data: DeviceData) -> list[int]:
    """Training samples, or pixels, by class: the mean over the replicates, which differ where labels are dense."""
    counts = [data.train.class_counts(torch.tensor(member.train_index, device=data.device)) for member in members]
    return torch.stack(counts).double().mean(dim=0).round().long().tolist()


def run_tags(sweep: Sweep, claim: Claim, *, worker: str) -> dict[str, str]:
    """Whose run it is."""
    return {SWEEP_TAG: sweep.id, TRIAL_TAG: str(claim.number), "evenhand.worker": worker}


def _short(value: object) -> str:
    return f"{value:.3g}" if isinstance(value, float) else str(value)
