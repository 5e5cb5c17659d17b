"""What the training images of a sweep really hold, where labels are by pixel: measured before it is accepted."""

from dataclasses import replace

import numpy as np

from .datasets import Dataset, DatasetInfo, Datasets
from .errors import DatasetError, ImbalanceError, invalid
from .plan import replicate_seeds
from .resolve import ResolvedSweep
from .spec import SweepSpec
from .split import MAX_DEVIATION, share_deviation, split_images


def measured(resolved: ResolvedSweep, info: DatasetInfo, datasets: Datasets) -> ResolvedSweep:
    """The sweep with the training pixels by class as its replicates have them, their mean; others are as they are.

    Raises InvalidSweep where a data set that is made to order cannot be made, or split within 5 % of what is asked.
    """
    spec, choice = resolved.spec, resolved.spec.dataset
    if info.kind != "dense":
        return resolved
    scenarios = []
    for scenario in resolved.scenarios:
        try:
            dataset = datasets.load(choice.name, options=choice.params, counts=scenario.drawn)
            counts_C = _training_pixels(dataset, spec)
        except (DatasetError, ImbalanceError) as error:
            if not info.is_made_to_order:  # the user's own files are at fault, not the ratio
                raise
            problem = error.problem if isinstance(error, DatasetError) else error.named(info.classes).problem
            expected = "a lower ratio, or more images"
            raise invalid(
                "imbalance.ratios", f"Ratio {scenario.ratio:g} cannot be made: {problem}", expected
            ) from error
        scenarios.append(replace(scenario, counts=counts_C))
    return replace(resolved, scenarios=tuple(scenarios))


def _training_pixels(dataset: Dataset, spec: SweepSpec) -> tuple[int, ...]:
    assert dataset.image_counts is not None, "the labels are dense"
    pool_C = dataset.image_counts.sum(axis=0)
    trained_RC = [
        dataset.image_counts[
            split_images(dataset.image_counts, fraction=spec.validation.fraction, seed=seed).train
        ].sum(0)
        for seed in replicate_seeds(spec)
    ]
    off = max(share_deviation(train_C, pool_C) for train_C in trained_RC)
    if dataset.info.is_made_to_order and off > MAX_DEVIATION:
        raise ImbalanceError(
            f"the training pixels of a class would be {off:.0%} off what is asked.",
            expected=f"at most {MAX_DEVIATION:.0%}",
            field="imbalance.ratios",
        )
    return tuple(np.mean(trained_RC, axis=0).round().astype(int).tolist())
