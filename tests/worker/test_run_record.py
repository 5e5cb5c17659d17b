"""How a run is called and what it carries, without a server."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
import torch

from sweep.datasets import Dataset, DatasetInfo
from sweep.plan import Scenario
from sweep.store import DatasetMark, Sweep
from sweep.studies import Claim, Studies
from worker.members import replicates, trial_spec
from worker.room import Room
from worker.run_record import run_name, run_params, run_tags
from worker.training.data import DeviceData

CPU = torch.device("cpu")
ROOM = Room(replicates=2, width=3, most=6, pace=None, stacked="no: why")


@pytest.fixture
def claimed(submit: Callable[..., Sweep], studies: Studies) -> Callable[..., tuple[Sweep, Claim]]:
    """A sweep at ratio 50 and its first claim."""

    def take(**fields: object) -> tuple[Sweep, Claim]:
        sweep = submit(**{"imbalance": {"profile": "exponential", "ratios": [50]}, **fields})
        studies.lay(sweep, studies.slots(sweep))
        (claim,) = studies.claim(sweep, worker="ann", width=1)
        return sweep, claim

    return take


@pytest.mark.parametrize(
    ("fields", "name"),
    [
        ({"alpha": [0.0123456, 0.1]}, "alpha=0.0123 exponential×50 adaptive #0"),
        ({"alpha": 0.1}, "alpha=0.1 exponential×50 adaptive #0"),
        ({"alpha": [0.1], "search": {"lr": [0.005, 0.5]}}, "alpha=0.1 lr=0.005 exponential×50 adaptive #0"),
        ({"loss": "cross_entropy"}, "exponential×50 cross_entropy #0"),
        ({"loss": "focal", "search": {"gamma": [1.5, 2.0]}}, "gamma=1.5 exponential×50 focal #0"),
        ({"alpha": 1.0, "imbalance": {"profile": "step", "ratios": [2.5]}}, "alpha=1 step×2.5 adaptive #0"),
    ],
)
def test_a_run_is_named_by_what_was_searched(
    fields: dict[str, object], name: str, claimed: Callable[..., tuple[Sweep, Claim]]
) -> None:
    sweep, claim = claimed(**fields)
    assert run_name(claim, sweep.scenarios[0], trial_spec(sweep.spec, claim.plan, claim.params, device=CPU)) == name


def named(
    sweep: Sweep, claim: Claim, info: DatasetInfo, *, labels: np.ndarray, scenario: Scenario
) -> dict[str, object]:
    inputs = np.zeros((len(labels), 1), np.float32)
    arrays = {"train_inputs": inputs, "train_labels": labels, "test_inputs": inputs, "test_labels": labels}
    data = DeviceData(**arrays, classes=len(sweep.dataset.classes), device=CPU)
    dataset = Dataset(info=info, **arrays)
    members = replicates(
        trial_spec(sweep.spec, claim.plan, claim.params, device=CPU),
        spec=sweep.spec,
        scenario=scenario,
        dataset=dataset,
    )
    return run_params(sweep, scenario, members, data, content=info.content, room=ROOM)


def test_a_run_carries_all_that_made_its_numbers(
    claimed: Callable[..., tuple[Sweep, Claim]], digits: DatasetInfo
) -> None:
    sweep, claim = claimed(loss="weighted", seed=4, replicates=2, class_order="reversed")
    found = named(sweep, claim, digits, labels=np.repeat(np.arange(10), 140), scenario=sweep.scenarios[0])
    expected = {
        "loss": "weighted", "reduction": "mean", "seed": 4, "seeds": [400, 401], "replicates": 2, "ratio": 50.0,
        "profile": "exponential", "class_order": "reversed", "model": "mlp", "device": "cpu",
        "dataset_content": sweep.dataset.content, "torch": torch.__version__, "width": 3, "stacked": "no: why",
    }  # fmt: skip
    assert {name: found[name] for name in expected} == expected
    assert list(found["counts"].items())[::9] == [("0", 2), ("9", 105)]  # type: ignore[attr-defined]
    hashes = found["train_index"]
    assert isinstance(hashes, list)
    assert len(set(hashes)) == 2
    assert "alpha" not in found
    assert "loss_params" not in found


def test_beyond_fifty_classes_counts_are_not_named(
    claimed: Callable[..., tuple[Sweep, Claim]], digits: DatasetInfo
) -> None:
    sweep, claim = claimed(alpha=0.1, validation={"per_class": 1})
    many = replace(sweep, dataset=DatasetMark(classes=tuple(f"class {n}" for n in range(51)), content="x"))
    scenario = Scenario(profile="natural", ratio=1, counts=(2,) * 51, drawn=(2,) * 51)
    labels = np.repeat(np.arange(51), 3)
    assert named(many, claim, digits, labels=labels, scenario=scenario)["counts"] == [2] * 51


def test_a_run_says_whose_it_is(claimed: Callable[..., tuple[Sweep, Claim]]) -> None:
    sweep, claim = claimed(alpha=0.1)
    assert run_tags(sweep, claim, worker="ann") == {
        "evenhand.sweep": sweep.id, "evenhand.trial": "0", "evenhand.worker": "ann",
    }  # fmt: skip
