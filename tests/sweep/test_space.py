"""The search space as a grid, and who takes which parameter."""

import pytest

from sweep.space import Range, Space, grid_points, grid_size, grid_values, is_searched, parameter_for


@pytest.mark.parametrize(
    ("value", "points"),
    [
        (0.3, [0.3]),
        ([3.0, 1.0, 2.0], [3.0, 1.0, 2.0]),
        (Range(low=0.0, high=1.0, steps=5), [0.0, 0.25, 0.5, 0.75, 1.0]),
        (Range(low=0.001, high=1.0, log=True, steps=4), [0.001, 0.01, 0.1, 1.0]),
        (Range(low=0.5, high=0.5), [0.5]),
    ],
)
def test_a_grid_takes_these_values(value: float | list[float] | Range, points: list[float]) -> None:
    assert grid_values("lr", value) == pytest.approx(points, rel=1e-12)


def test_the_ends_of_a_range_are_in_its_grid_to_the_last_bit() -> None:
    values = grid_values("alpha", Range(low=0.003, high=0.7, log=True, steps=7))
    assert (values[0], values[-1]) == (0.003, 0.7)


@pytest.mark.parametrize(
    ("value", "points"),
    [
        (Range(low=16, high=64, steps=4), [16, 32, 48, 64]),
        (Range(low=2, high=20, log=True, steps=4), [2, 4, 9, 20]),  # 4.3 and 9.3
        (Range(low=2, high=3, steps=3), [2, 2, 3]),  # which `resolve` refuses
    ],
)
def test_a_grid_of_whole_numbers_is_rounded(value: Range, points: list[int]) -> None:
    found = grid_values("batch_size", value)
    assert found == points
    assert {type(point) for point in found} == {int}


def test_a_grid_has_every_combination_the_last_parameter_running_fastest() -> None:
    space: Space = {"alpha": [0.1, 0.2], "lr": 0.5, "weight_decay": [0.0, 1.0]}
    assert grid_size(space) == 4
    assert grid_points(space) == [
        {"alpha": 0.1, "lr": 0.5, "weight_decay": 0.0},
        {"alpha": 0.1, "lr": 0.5, "weight_decay": 1.0},
        {"alpha": 0.2, "lr": 0.5, "weight_decay": 0.0},
        {"alpha": 0.2, "lr": 0.5, "weight_decay": 1.0},
    ]


@pytest.mark.parametrize(
    ("value", "searched"),
    [(0.1, False), ([0.1], False), ([0.1, 0.2], True), (Range(low=1, high=1), False), (Range(low=0, high=1), True)],
)
def test_one_value_is_not_a_search(value: float | list[float] | Range, searched: bool) -> None:
    assert is_searched(value) is searched


def test_parameters_belong_to_the_training_or_to_the_loss() -> None:
    assert parameter_for("lr", "focal") is not None
    assert parameter_for("gamma", "focal") is not None
    assert parameter_for("gamma", "adaptive") is None
    batch_size = parameter_for("batch_size", "adaptive")
    assert batch_size is not None
    assert (batch_size.admits(16), batch_size.admits(16.5), batch_size.admits(1)) == (True, False, False)
    assert batch_size.bounds == "a whole number in [2, 65536]"
