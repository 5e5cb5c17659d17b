"""The losses that can be asked for: one row each, beside its function of the same name in the package `loss`."""

from collections.abc import Mapping
from dataclasses import dataclass

from .parameter import Option, Parameter


@dataclass(frozen=True, slots=True)
class Loss:
    """A row of the table: what a loss is, where it comes from and what it takes."""

    name: str
    description: str
    source: str
    parameters: tuple[Parameter, ...] = ()
    options: tuple[Option, ...] = ()

    @property
    def has_importance(self) -> bool:
        """True where the loss keeps an importance per class that alpha moves."""
        return any(parameter.name == "alpha" for parameter in self.parameters)

    def parameter(self, name: str) -> Parameter | None:
        """The number called `name`, or None where the loss takes no such number."""
        return next((parameter for parameter in self.parameters if parameter.name == name), None)


_ALPHA = Parameter(
    "alpha", 0.01, 0.0, 1.0,
    "EMA rate of the importance: weights the new batch; 0 is plain cross-entropy, 1 forgets all before the batch",
)  # fmt: skip
_SMOOTHING = Parameter(
    "label_smoothing", 0.0, 0.0, 1.0, "mass moved from the true class to all classes evenly", open_high=True
)

_ROWS = (
    Loss(
        "adaptive",
        "Cross-entropy weighted by an importance per class that follows the class's false-negative rate",
        "sachinruk, An Intuitive Loss for Imbalanced Classification, 2021 (a blog post)",
        parameters=(_ALPHA, _SMOOTHING),
    ),
    Loss("cross_entropy", "Plain cross-entropy, the mean over samples", "textbook", parameters=(_SMOOTHING,)),
    Loss(
        "focal",
        "Softmax focal loss: (1 - p_y)^gamma times cross-entropy",
        "Lin et al., Focal Loss for Dense Object Detection, ICCV 2017",
        parameters=(
            Parameter("gamma", 2.0, 0.0, 10.0, "how much well-classified samples are discounted; 0 is cross-entropy"),
        ),
    ),
    Loss(
        "weighted",
        "Cross-entropy weighted by inverse class frequency, weights summing to the number of classes",
        "inverse-frequency weighting as in Cao et al., LDAM, NeurIPS 2019",
        options=(
            Option(
                "reduction", "mean", ("mean", "weighted_mean"),
                "mean divides by the number of samples, weighted_mean by the sum of their weights",
            ),
        ),
    ),
    Loss(
        "balanced_softmax",
        "Cross-entropy on logits shifted by the logarithm of the class counts",
        "Ren et al., Balanced Meta-Softmax for Long-Tailed Visual Recognition, NeurIPS 2020, eq. 3",
    ),
)  # fmt: skip

LOSSES: Mapping[str, Loss] = {row.name: row for row in _ROWS}
