"""Pausing, resuming and trying again, over HTTP and by the command."""

import time
from collections.abc import Iterator

import httpx
import pytest

from .running import ENDLESS, Answer, Up, await_state, evenhand, submit

PROBLEM = "application/problem+json"


def act(api: httpx.Client, sweep: Answer, action: str) -> httpx.Response:
    return api.post(f"/v1/sweeps/{sweep['id']}/{action}")


@pytest.fixture
def endless(api: httpx.Client) -> Iterator[Answer]:
    """A sweep in training, cancelled afterwards."""
    sweep = submit(api, **ENDLESS)
    yield await_state(api, sweep["id"], ("running",))
    act(api, sweep, "cancel")


def test_a_sweep_is_paused_at_once_and_goes_on(api: httpx.Client, endless: Answer) -> None:
    began = time.monotonic()
    assert act(api, endless, "pause?running=requeue").json()["wanted"] == "pause_now"
    paused = await_state(api, endless["id"], ("paused",), within_s=30)
    assert time.monotonic() - began < 10
    assert paused["progress"] == endless["progress"] | {"running": 0, "waiting": 4}
    assert paused["id"] in [found["id"] for found in api.get("/v1/sweeps?state=paused").json()["items"]]
    attempts = [a for t in api.get(paused["links"]["trials"]).json()["items"] for a in t["attempts"]]
    assert {(attempt["outcome"], attempt["reason"]) for attempt in attempts} == {
        ("stopped", "The sweep was paused; the trial is tried again when it goes on.")
    }
    assert act(api, endless, "resume").json()["wanted"] == "run"
    await_state(api, endless["id"], ("running",), within_s=30)


def test_a_pause_lets_running_trials_finish_and_begins_nothing(api: httpx.Client) -> None:
    alphas = [0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8]
    sweep = submit(api, **ENDLESS | {"training": {"epochs": 150}, "alpha": alphas, "trials": 8})
    await_state(api, sweep["id"], ("running",))
    assert act(api, sweep, "pause").status_code == 200
    paused = await_state(api, sweep["id"], ("paused",))
    trials = api.get(paused["links"]["trials"]).json()["items"]
    assert {attempt["outcome"] for trial in trials for attempt in trial["attempts"]} == {"complete"}
    act(api, sweep, "cancel")
    assert await_state(api, sweep["id"], within_s=30)["progress"]["waiting"] == 0


@pytest.mark.parametrize(("action", "can"), [("pause", "paused"), ("resume", "resumed, where it is paused")])
def test_a_sweep_that_has_ended_is_not_paused_or_resumed(
    action: str, can: str, api: httpx.Client, answered: Answer
) -> None:
    refused = act(api, answered, action)
    assert (refused.status_code, refused.headers["content-type"]) == (409, PROBLEM)
    assert refused.json()["detail"] == (
        f"Sweep {answered['id']} is finished; only a sweep that has not ended can be {can}."
    )


def test_a_sweep_without_failures_has_nothing_to_try_again(api: httpx.Client, answered: Answer) -> None:
    refused = act(api, answered, "retry")
    assert refused.status_code == 409
    assert "nothing to try again" in refused.json()["detail"]


def test_a_pause_of_a_third_kind_is_refused(api: httpx.Client, answered: Answer) -> None:
    refused = act(api, answered, "pause?running=perhaps")
    assert refused.status_code == 422
    assert "running" in refused.text


def test_what_failed_is_tried_again(api: httpx.Client) -> None:
    training = {"epochs": 1, "optimizer": "sgd", "weight_decay": 1.0, "batch_size": 8}
    point = {"alpha": 0.1, "search": {"lr": [10.0]}, "trials": 1, "sampler": "grid"}
    sweep = submit(api, **ENDLESS | {"training": training} | point)
    ended = await_state(api, sweep["id"])
    assert (ended["state"], ended["progress"]["failed"]) == ("failed", 1)
    again = act(api, sweep, "retry").json()
    assert (again["state"], again["ended_at"], again["progress"]["waiting"]) == ("queued", None, 1)
    assert await_state(api, sweep["id"])["state"] == "failed"
    (trial,) = api.get(ended["links"]["trials"]).json()["items"]
    assert [attempt["outcome"] for attempt in trial["attempts"]] == ["failed", "failed"]


def test_the_command_pauses_and_resumes(service: Up, endless: Answer) -> None:
    paused = evenhand("pause", endless["id"], "--now", url=service.api)
    assert (paused.returncode, paused.stdout) == (0, f"Pausing {endless['id']}; running trials are queued again.\n")
    resumed = evenhand("resume", endless["id"], url=service.api)
    assert (resumed.returncode, resumed.stdout) == (0, f"{endless['id']} goes on.\n")
    refused = evenhand("retry", endless["id"], url=service.api)
    assert (refused.returncode, refused.stdout) == (1, "")
    assert "No trial" in refused.stderr
