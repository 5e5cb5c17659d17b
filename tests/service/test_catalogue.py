"""What there is: data sets, losses and models, and the API's own description."""

import httpx
import pytest

from .running import Answer, submit


def named(api: httpx.Client, kind: str) -> dict[str, Answer]:
    """The items of a catalogue by name."""
    page = api.get(f"/v1/{kind}").json()
    assert page["next_cursor"] is None
    return {item["name"]: item for item in page["items"]}


def test_built_in_data_sets_show_their_facts(api: httpx.Client) -> None:
    datasets = named(api, "datasets")
    built_in = ["toy2d", "digits", "fashion_mnist", "mnist", "cifar10", "cifar100", "shapes"]
    assert list(datasets)[:7] == built_in
    assert all(datasets[name]["built_in"] for name in built_in)
    assert datasets["digits"]["built_in"] is True
    digits = datasets["digits"]["info"]
    assert (digits["kind"], digits["shape"], digits["classes"]) == ("vector", [64], list("0123456789"))
    assert sum(digits["pool_counts"]) + sum(digits["test_counts"]) == 1797
    toy2d = datasets["toy2d"]["info"]
    assert (toy2d["shape"], toy2d["pool_counts"], toy2d["test_counts"]) == ([2], [2000] * 3, [1000] * 3)
    assert datasets["shapes"]["info"]["kind"] == "dense"
    assert "pool_counts" in (datasets["cifar100"]["info"] or {}) or "are not there" in datasets["cifar100"]["problem"]


def test_the_users_own_data_sets_show_what_was_read_or_what_is_wrong(api: httpx.Client) -> None:
    datasets = named(api, "datasets")
    assert list(datasets)[7:] == ["broken", "cities", "stripes"]
    assert not any(datasets[name]["built_in"] for name in ("broken", "cities", "stripes"))
    cities = datasets["cities"]["info"]
    assert cities["classes"] == ["Basel", "Bern", "Genève", "La Chaux-de-Fonds", "Lugano/TI", "St. Gallen", "Zürich"]
    samples = [pool + test for pool, test in zip(cities["pool_counts"], cities["test_counts"], strict=True)]
    assert samples == [34, 52, 64, 46, 40, 58, 70]
    assert {"age", "height"} <= set(cities["columns"])
    assert datasets["stripes"]["info"]["shape"] == [1, 9, 12]
    assert datasets["broken"]["info"] is None
    assert datasets["broken"]["problem"].startswith("its folder holds notes.txt. Expected one .npz;")


def test_a_data_set_that_is_made_to_order_shows_its_options_with_their_bounds(api: httpx.Client) -> None:
    datasets = named(api, "datasets")
    options = {option["name"]: option for option in datasets["shapes"]["options"]}
    assert list(options) == ["size", "images", "classes", "noise"]
    size = options["size"]
    assert (size["default"], size["low"], size["high"], size["kind"]) == (48, 16, 512, "integer")
    assert all(option["description"] for option in options.values())
    assert datasets["digits"]["options"] == []


def test_losses_show_parameters_with_bounds_and_sources(api: httpx.Client) -> None:
    losses = named(api, "losses")
    assert list(losses) == ["adaptive", "cross_entropy", "focal", "weighted", "balanced_softmax"]
    alpha = losses["adaptive"]["parameters"][0]
    assert (alpha["name"], alpha["default"], alpha["low"], alpha["high"]) == ("alpha", 0.01, 0.0, 1.0)
    assert not (alpha["open_low"] or alpha["open_high"])
    (gamma,) = losses["focal"]["parameters"]
    assert (gamma["name"], gamma["default"], gamma["low"], gamma["high"]) == ("gamma", 2.0, 0.0, 10.0)
    (reduction,) = losses["weighted"]["options"]
    assert (reduction["default"], reduction["choices"]) == ("mean", ["mean", "weighted_mean"])
    assert losses["balanced_softmax"]["parameters"] == losses["balanced_softmax"]["options"] == []
    assert all(loss["description"] and loss["source"] for loss in losses.values())


@pytest.mark.parametrize("end", ["low", "high"])
def test_the_bounds_shown_are_the_bounds_kept(end: str, api: httpx.Client) -> None:
    (gamma,) = named(api, "losses")["focal"]["parameters"]
    body = {"dataset": "toy2d", "imbalance": {"profile": "step", "ratios": [1]}, "trials": 1}
    beyond = gamma[end] + (-0.5 if end == "low" else 0.5)
    refused = api.post("/v1/sweeps", json=body | {"loss": {"name": "focal", "gamma": beyond}})
    assert (refused.status_code, refused.json()["errors"][0]["expected"]) == (422, "a number in [0, 10]")
    taken = submit(api, **body, loss={"name": "focal", "gamma": gamma[end]})
    api.post(f"/v1/sweeps/{taken['id']}/cancel")
    assert taken["spec"]["loss"] == {"name": "focal", "gamma": gamma[end]}


def test_models_show_which_inputs_they_take(api: httpx.Client) -> None:
    models = named(api, "models")
    takes = {name: model["takes"] for name, model in models.items()}
    assert takes == {
        "linear": ["vector", "image"],
        "mlp": ["vector", "image"],
        "small_cnn": ["image"],
        "resnet32": ["image"],
        "resnet18": ["image"],
        "unet": ["dense"],
    }
    assert all(model["description"] for model in models.values())
    width, depth = models["unet"]["parameters"]
    assert (width["name"], width["default"], width["low"], width["high"]) == ("width", 16, 2, 128)
    assert (depth["name"], depth["default"], depth["low"], depth["high"]) == ("depth", 2, 1, 5)


def test_the_api_describes_itself(api: httpx.Client) -> None:
    docs = api.get("/docs")
    assert docs.headers["content-type"].startswith("text/html")
    assert "/openapi.json" in docs.text
    paths = api.get("/openapi.json").json()["paths"]
    routes = {f"{method.upper()} {path}" for path, methods in paths.items() for method in methods}
    assert routes >= {
        "POST /v1/sweeps", "GET /v1/sweeps", "GET /v1/sweeps/{sweep_id}", "POST /v1/sweeps/{sweep_id}/cancel",
        "GET /v1/sweeps/{sweep_id}/results", "GET /v1/sweeps/{sweep_id}/trials",
        "GET /v1/sweeps/{sweep_id}/trials/{number}", "GET /v1/sweeps/{sweep_id}/trials/{number}/importance",
        "GET /v1/sweeps/{sweep_id}/pictures/predictions",
        "GET /v1/datasets", "GET /v1/losses", "GET /v1/models", "GET /healthz", "GET /readyz",
    }  # fmt: skip
