"""The scenarios of a sweep: its data set at each profile and ratio, with the class counts that these make."""

from collections.abc import Sequence

from .datasets import DatasetInfo
from .errors import ImbalanceError, invalid
from .imbalance import class_counts, class_order, measured_ratio, pixel_counts
from .plan import Scenario
from .spec import Imbalance, SweepSpec, Validation
from .split import default_validation_size, stratified_sizes


def resolve_validation(validation: Validation, info: DatasetInfo) -> Validation:
    """The validation part with its size; where labels are dense it is a fraction of the images.

    Raises InvalidSweep where single pixels were to be held out.
    """
    if info.kind == "dense":
        if validation.per_class is not None or (
            "scheme" in validation.model_fields_set - {"fraction"} and (validation.scheme == "balanced_holdout")
        ):
            raise invalid(
                "validation",
                f"the labels of {info.name} are by pixel, and a pixel cannot be held out alone.",
                'a fraction of the images, such as {"scheme": "stratified_holdout", "fraction": 0.2}',
            )
        return validation.model_copy(update={"scheme": "stratified_holdout"})
    if validation.scheme == "stratified_holdout" or validation.per_class is not None:
        return validation
    return validation.model_copy(update={"per_class": default_validation_size(info.pool_counts)})


def scenarios(spec: SweepSpec, info: DatasetInfo, validation: Validation) -> tuple[Scenario, ...]:
    """The sweep's scenarios with their class counts, in the order asked.

    Raises ImbalanceError or InvalidSweep where they cannot be made.
    """
    if info.kind == "dense":
        return _dense_scenarios(spec, info)
    imbalance, balanced = spec.imbalance, validation.scheme == "balanced_holdout"
    held = (validation.per_class or 0) if balanced else 0
    if min(info.pool_counts) <= held:
        raise ImbalanceError(
            f"{held} validation samples a class leave none to train on: the smallest class of"
            f" {info.name} has {min(info.pool_counts)}.",
            expected=f"at most {min(info.pool_counts) - 1}",
            field="validation.per_class",
        )
    pool = [count - held for count in info.pool_counts]
    order = _class_order(spec, info.classes)
    counts = _named_counts(imbalance, info.classes)
    ratios: Sequence[float | None] = imbalance.ratios or [None]
    made = [
        class_counts(
            imbalance.profile,
            pool=pool,
            ratio=ratio,
            n_max=imbalance.n_max,
            minority=imbalance.minority,
            counts=counts,
            order=order,
        )
        for ratio in ratios
    ]
    return tuple(
        Scenario(
            profile=imbalance.profile,
            ratio=ratio or measured_ratio(drawn),
            counts=drawn if balanced else _trained(drawn, validation),
            drawn=drawn,
        )
        for ratio, drawn in zip(ratios, made, strict=True)
    )


def _trained(drawn: tuple[int, ...], validation: Validation) -> tuple[int, ...]:
    """What a stratified holdout leaves to train on; raises ImbalanceError where a class is too small to share."""
    held = stratified_sizes(drawn, fraction=validation.fraction)
    return tuple(count - shared for count, shared in zip(drawn, held, strict=True))


def _dense_scenarios(spec: SweepSpec, info: DatasetInfo) -> tuple[Scenario, ...]:
    imbalance = spec.imbalance
    if not info.is_made_to_order and imbalance.profile != "natural":
        raise invalid(
            "imbalance.profile",
            f"{imbalance.profile} would drop samples, and the pixels of {info.name} cannot be dropped from its images.",
            "natural: the data as they are (the data set shapes is made to any ratio)",
        )
    if spec.class_order != "label":
        raise invalid("class_order", "the classes of dense labels keep their order.", "label, or none")
    if imbalance.n_max is not None:
        raise invalid("imbalance.n_max", "the size and number of images fix the pixels.", "no n_max with dense labels")
    if not info.is_made_to_order:
        counts = info.pool_counts
        return (Scenario(profile="natural", ratio=measured_ratio(counts), counts=counts, drawn=counts),)
    pixels, classes = sum(info.pool_counts), len(info.classes)
    made = {
        ratio: pixel_counts(imbalance.profile, pixels=pixels, classes=classes, ratio=ratio, minority=imbalance.minority)
        for ratio in imbalance.ratios or [1.0]
    }
    return tuple(
        Scenario(profile=imbalance.profile, ratio=ratio, counts=counts, drawn=counts) for ratio, counts in made.items()
    )


def _class_order(spec: SweepSpec, classes: Sequence[str]) -> tuple[int, ...]:
    if isinstance(spec.class_order, str):
        return class_order(spec.class_order, classes=len(classes), seed=spec.seed)
    if sorted(spec.class_order) != sorted(classes):
        raise invalid("class_order", "the order does not name each class once.", f"an order of {', '.join(classes)}")
    return tuple(classes.index(name) for name in spec.class_order)


def _named_counts(imbalance: Imbalance, classes: Sequence[str]) -> list[int] | None:
    if imbalance.counts is None:
        return None
    if set(imbalance.counts) != set(classes):
        odd = sorted(set(imbalance.counts) ^ set(classes))
        raise invalid(
            "imbalance.counts",
            f"counts and classes differ by {', '.join(odd[:10])}.",
            f"a count for each of {', '.join(classes[:50])}",
        )
    return [imbalance.counts[name] for name in classes]
