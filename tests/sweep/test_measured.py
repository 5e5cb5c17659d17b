"""What dense sweeps are accepted with: training pixels as they are, and refusals where they would not be as asked."""

import json
from pathlib import Path

import numpy as np
import pytest

from sweep.datasets import Datasets
from sweep.errors import InvalidSweep
from sweep.measured import measured
from sweep.plan import replicate_seeds
from sweep.problems import parse_sweep
from sweep.resolve import ResolvedSweep, resolve
from sweep.split import split_images


def accepted(datasets: Datasets, **fields: object) -> ResolvedSweep:
    """The sweep as the API stores it."""
    spec = parse_sweep(json.dumps({"imbalance": {"profile": "exponential", "ratios": [5, 20]}, **fields}))
    info = datasets.info(spec.dataset.name, options=spec.dataset.params)
    return measured(resolve(spec, info), info, datasets)


@pytest.fixture
def datasets(tmp_path: Path) -> Datasets:
    return Datasets(tmp_path)


def test_the_counts_are_the_training_pixels_of_the_replicates(datasets: Datasets) -> None:
    choice = {"name": "shapes", "images": 100, "size": 24}
    sweep = accepted(datasets, dataset=choice, replicates=4, seed=2)
    for scenario, ratio in zip(sweep.scenarios, (5, 20), strict=True):
        dataset = datasets.load("shapes", options=sweep.spec.dataset.params, counts=scenario.drawn)
        assert dataset.image_counts is not None
        counts_NC, seeds = dataset.image_counts, replicate_seeds(sweep.spec)
        trained = [counts_NC[split_images(counts_NC, fraction=0.2, seed=seed).train].sum(axis=0) for seed in seeds]
        assert scenario.counts == tuple(np.mean(trained, axis=0).round().astype(int))
        assert scenario.counts[0] / scenario.counts[-1] == pytest.approx(ratio, rel=0.05)
        assert sum(scenario.counts) == pytest.approx(80 * 24 * 24, abs=2)  # each is rounded


@pytest.mark.parametrize(
    ("images", "size", "ratio", "message"),
    [(20, 128, 2000, "too few images show 'triangle'"), (20, 48, 400, "would be [0-9]+% off what is asked")],
)
def test_what_cannot_be_made_or_split_is_refused_before_it_runs(
    images: int, size: int, ratio: float, message: str, datasets: Datasets
) -> None:
    choice = {"name": "shapes", "images": images, "size": size}
    with pytest.raises(InvalidSweep, match=message) as refused:
        accepted(datasets, dataset=choice, imbalance={"profile": "exponential", "ratios": [ratio]}, replicates=10)
    (problem,) = refused.value.problems
    assert problem.field == "imbalance.ratios"
    assert f"Ratio {ratio} cannot be made" in problem.problem


def test_sets_with_a_label_a_sample_are_as_they_were_resolved(datasets: Datasets) -> None:
    spec = parse_sweep('{"dataset": "digits", "imbalance": {"profile": "exponential", "ratios": [10]}}')
    info = datasets.info("digits")
    resolved = resolve(spec, info)
    assert measured(resolved, info, datasets) is resolved
