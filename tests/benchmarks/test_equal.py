"""Sides that did equal work are taken for equal; one that trained less is found, whatever it says of its samples."""

from dataclasses import replace
from pathlib import Path

import pytest

from benchmarks.equal import differences
from benchmarks.export import export
from benchmarks.ours import train
from benchmarks.peers import practice
from benchmarks.peers.command import Result
from benchmarks.peers.work import Work, read
from benchmarks.works import WORKS, Prepared

ALPHAS = [0.005, 0.01, 0.02, 0.03, 0.05, 0.08, 0.1, 0.2, 0.5, 0.8]


def test_sides_alike_are_equal() -> None:
    assert differences(_trials(0.7, 0.8), _trials(0.8, 0.71, 0.76)) == []


def test_a_side_that_sees_fewer_samples_is_found() -> None:
    (reason,) = differences(_trials(0.7, 0.8), _trials(0.7, 0.8, samples=99))

    assert "got [(99, 10)], and [(640, 10)] of ours" in reason


def test_trials_of_unlike_samples_are_found_on_our_side_too() -> None:
    assert differences([*_trials(0.7), *_trials(0.7, samples=99)], _trials(0.7, 0.7))


@pytest.mark.parametrize("steady", ["ours", "peers"])
def test_a_side_that_strays_does_not_widen_what_is_allowed(steady: str) -> None:
    sides = _trials(*[0.7, 0.71, 0.72] * 4), _trials(*[0.3, 0.9, 0.4] * 4)

    assert differences(*(sides if steady == "ours" else reversed(sides)))


def test_scores_of_other_alphas_may_vary_otherwise() -> None:
    alphas = (0.04, 0.8, 0.05, 0.9)
    ours = [_but(one, alpha=at) for one, at in zip(_trials(0.55, 0.62, 0.56, 0.62), alphas, strict=True)]

    assert differences(ours, _trials(0.55, 0.54, 0.55, 0.55)) == []


def test_what_samplers_chose_by_results_does_not_count() -> None:
    assert differences(_trials(*[0.7] * 10), _trials(*[0.7] * 10, *[0.9] * 30)) == []


def test_dense_work_is_judged_by_mean_iou() -> None:
    ours, peer = _trials(0.7, 0.71), _trials(0.7, 0.71)
    for trial, mean_iou in zip([*ours, *peer], (0.6, 0.61, 0.2, 0.21), strict=True):
        trial["final"]["mean_iou"] = mean_iou

    assert differences(ours, peer)


def test_losses_are_compared_at_the_same_alpha() -> None:
    ours = _with_losses({2**-at: 2**at for at in range(12)})
    between = {2 ** -(at / 2): 2 ** (at / 2) for at in range(16)}

    assert differences(ours, _with_losses({alpha: 1.15 * loss for alpha, loss in between.items()})) == []
    (reason,) = differences(ours, _with_losses({alpha: 1.3 * loss for alpha, loss in between.items()}))
    assert reason == "expected at most 1.20 times between the losses of the last epoch, got 1.30"


def test_losses_of_few_trials_may_differ_more() -> None:
    ours = _with_losses({0.1: 1.0, 0.2: 0.5, 0.4: 0.25, 0.8: 0.125})

    assert differences(ours, _with_losses({0.1: 1.3, 0.2: 0.65, 0.4: 0.32, 0.8: 0.16})) == []
    assert differences(ours, _with_losses({0.1: 1.6, 0.2: 0.8, 0.4: 0.4, 0.8: 0.2}))


def test_losses_beyond_our_alphas_are_not_guessed() -> None:
    ours = _with_losses({0.1: 1.0, 0.2: 0.5, 0.4: 0.25, 0.8: 0.125})

    assert differences(ours, _with_losses({0.001: 30.0, 0.01: 9.0, 0.02: 5.0, 0.2: 0.5})) == []


def test_the_same_trials_may_differ_by_their_sums_alone() -> None:
    ours, peers = _trials(0.6, 0.7, 0.8), _trials(0.62, 0.72, 0.82)

    assert differences(ours, peers) == []
    assert differences(ours, peers, same_trials=True)


@pytest.mark.slow
@pytest.mark.parametrize(("name", "epochs"), [("toy2d", 10), ("toy2d", 30), ("digits", 10), ("digits", 30)])
def test_our_trials_and_a_peers_are_equal_work_and_half_of_it_is_not(name: str, epochs: int, tmp_path: Path) -> None:
    prepared = Prepared(replace(WORKS[name], epochs=epochs), tmp_path)
    export(prepared, tmp_path / name)
    work, _ = read(tmp_path / name)
    ours = train(prepared, alphas=ALPHAS, width=2)

    assert [trial["alpha"] for trial in ours] == ALPHAS
    assert differences(ours, _peers(work, tmp_path / name)) == []
    half = _peers(replace(work, epochs=epochs // 2), tmp_path / name)
    lying = [_but(trial, samples=2 * trial["samples"], steps=2 * trial["steps"]) for trial in half]
    assert differences(ours, lying)


def _peers(work: Work, folder: Path) -> list[Result]:
    _, data = read(folder)
    return [practice.train(work, data, alpha, tuned=bool(at % 2)) for at, alpha in enumerate(ALPHAS)]


def _trials(*scores: float, samples: int = 640) -> list[Result]:
    return [Result(alpha=0.1, samples=samples, steps=10, final={"balanced_accuracy": score}) for score in scores]


def _with_losses(losses: dict[float, float]) -> list[Result]:
    (trial,) = _trials(0.7)
    return [_but(trial, alpha=alpha, train_loss=loss) for alpha, loss in losses.items()]


def _but(trial: Result, **fields: float) -> Result:
    return Result(**trial | fields)  # type: ignore[typeddict-item]
