"""Class names as parts of metric keys, and how many classes there are curves of."""

from collections.abc import Callable

import httpx
import numpy as np
import pytest

from sweep.metric_keys import MAX_CLASS_CURVES, class_keys, per_class
from sweep.store import Sweep
from sweep.tracking import Point, Tracking


@pytest.mark.parametrize(
    ("classes", "keys"),
    [
        (["cat", "dog 2", "a-b_c.d:e"], ("cat", "dog 2", "a-b_c.d:e")),
        (["Zürich", "Genève"], ("Z_rich", "Gen_ve")),
        (["in/out", "50%", "a\\b", "x\ny"], ("in_out", "50_", "a_b", "x_y")),
        (["a/b", "a_b", "c"], ("a_b_0", "a_b_1", "c")),
        (["鳥", "魚"], ("__0", "__1")),
        ([" ", "..", "../up"], ("class_0", "class_1", "_up")),
        ([".hidden", "dot."], ("hidden", "dot")),
    ],
)
def test_a_class_keeps_its_name_where_a_metric_key_can_hold_it(classes: list[str], keys: tuple[str, ...]) -> None:
    assert class_keys(classes) == keys


def test_keys_differ_whatever_the_names() -> None:
    assert class_keys(["a/b", "a_b", "a_b_0"]) == ("a_b__0", "a_b_1", "a_b_0")


def test_mlflow_takes_every_key_as_it_is(
    submit: Callable[..., Sweep], tracking: Tracking, mlflow: httpx.Client
) -> None:
    names = ["Zürich", "in/out", "a/b", "a_b", " ", "..", "../up", "鳥", "魚", "a : b", ".", "x" * 200, "-", "_"]
    keys = class_keys(names)
    assert len(set(keys)) == len(names)
    run_id = tracking.start(tracking.experiment(submit()), name="keys", params={}, tags={})
    logged = per_class("val/recall", np.arange(len(names)) / 16, keys)
    tracking.send(run_id, [Point(key, value, 1, 1) for key, value in logged.items()])
    found = mlflow.get("runs/get", params={"run_id": run_id}).json()["run"]["data"]["metrics"]
    assert {metric["key"]: metric["value"] for metric in found} == logged


def test_up_to_fifty_classes_have_a_value_each_but_for_those_without_one() -> None:
    assert per_class("val/recall", np.array([0.5, np.nan, 1.0]), ["a", "b", "c"]) == {
        "val/recall/a": 0.5, "val/recall/c": 1.0,
    }  # fmt: skip
    keys = [str(n) for n in range(MAX_CLASS_CURVES)]
    assert len(per_class("importance", np.ones(50), keys)) == MAX_CLASS_CURVES == 50


def test_more_classes_are_summed_up() -> None:
    values = np.arange(101.0) / 100  # 0, 0.01, …, 1
    found = per_class("importance", values, [str(n) for n in range(101)])
    assert list(found) == [
        "importance/min", "importance/q10", "importance/q50", "importance/q90", "importance/max",
        "importance/effective",
    ]  # fmt: skip
    assert list(found.values())[:5] == pytest.approx([0.0, 0.1, 0.5, 0.9, 1.0])
    # Σv = 50.5 and Σv² = 100·101·201/6 / 10⁴ = 33.835, by hand
    assert found["importance/effective"] == pytest.approx(50.5**2 / 33.835)


@pytest.mark.parametrize(
    ("values", "effective"),
    [(np.ones(60), 60.0), (np.eye(60)[3], 1.0), (np.repeat([1.0, 0.0], 30), 30.0), (np.zeros(60), 0.0)],
    ids=["equal", "one", "half", "none"],
)
def test_the_effective_number_of_classes(values: np.ndarray, effective: float) -> None:
    found = per_class("importance", values, [str(n) for n in range(60)])
    assert found["importance/effective"] == pytest.approx(effective)


def test_classes_without_a_value_are_left_out_of_the_sum() -> None:
    values = np.where(np.arange(60) < 10, np.nan, 0.5)
    found = per_class("val/recall", values, [str(n) for n in range(60)])
    assert (found["val/recall/min"], found["val/recall/max"]) == (0.5, 0.5)
    assert found["val/recall/effective"] == pytest.approx(50)
    assert per_class("val/recall", np.full(60, np.nan), [str(n) for n in range(60)]) == {}
