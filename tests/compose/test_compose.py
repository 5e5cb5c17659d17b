"""`docker compose up` from nothing, a sweep from outside, and containers that die meanwhile."""

import json
import subprocess
from collections.abc import Iterator

import httpx
import pytest

from .stack import ROOT, Answer, Stack, tag

pytestmark = [pytest.mark.compose, pytest.mark.timeout(1200)]
SWEEP: Answer = {
    "dataset": "digits",
    "imbalance": {"profile": "exponential", "ratios": [10, 50]},
    "alpha": {"low": 0.01, "high": 1.0, "log": True},
    "trials": 8,
    "sampler": "random",
    "replicates": 2,
    "baselines": ["cross_entropy"],
    "seed": 5,
}
LONG = SWEEP | {"training": {"epochs": 60, "batch_size": 16}}


@pytest.fixture(scope="module")
def stack() -> Iterator[Stack]:
    """Everything up, with two workers; gone afterwards."""
    stack = Stack(environment={"EVENHAND_HEARTBEAT_GRACE_S": "10"})
    stack.destroy()
    stack.up("--scale", "worker=2")
    yield stack
    stack.destroy()


@pytest.fixture(scope="module")
def undisturbed(stack: Stack) -> Answer:
    """The long sweep, ended in peace."""
    return stack.await_sweep(stack.submit(LONG)["id"], ended)


def ended(sweep: Answer) -> bool:
    return sweep["state"] in ("finished", "failed", "cancelled")


def values(stack: Stack, sweep: Answer) -> list[tuple[object, ...]]:
    """Number, loss, state, point and every seed's value of each trial."""
    items = stack.get(f"/v1/sweeps/{sweep['id']}/trials", limit=200)["items"]
    return [(t["number"], t["loss"], t["state"], t["params"], t["value"], t["replicates"]) for t in items]


def assert_whole(stack: Stack, sweep: Answer, like: Answer) -> None:
    """Every trial ended well, exactly once, as undisturbed; and MLflow agrees run for run."""
    assert (sweep["state"], sweep["progress"]["complete"]) == ("finished", sweep["progress"]["total"])
    assert values(stack, sweep) == values(stack, like)
    items = stack.get(f"/v1/sweeps/{sweep['id']}/trials", limit=200)["items"]
    assert [sum(a["outcome"] == "complete" for a in trial["attempts"]) for trial in items] == [1] * len(items)
    by_status: dict[str, list[int]] = {}
    for run in stack.runs(sweep):
        by_status.setdefault(run["info"]["status"], []).append(int(str(tag(run, "evenhand.trial"))))
    assert "RUNNING" not in by_status
    assert sorted(by_status["FINISHED"]) == [trial["number"] for trial in items]


def test_containers_are_nobodys_and_can_write_nowhere_but_in_their_volumes(stack: Stack) -> None:
    for service in ("api", "mlflow", "worker"):
        for container in stack.containers(service):
            host = container["HostConfig"]
            assert container["Config"]["User"] == "evenhand"
            assert container["State"]["Health"]["Status"] == "healthy"
            assert (host["ReadonlyRootfs"], host["Init"], host["CapDrop"]) == (True, True, ["ALL"])
            assert host["Memory"] > 0
            assert host["RestartPolicy"]["Name"] == "unless-stopped"
    published = [
        binding["HostIp"]
        for service in ("api", "mlflow", "postgres", "worker")
        for container in stack.containers(service)
        for bindings in container["HostConfig"]["PortBindings"].values()
        for binding in bindings
    ]
    assert published == ["127.0.0.1"] * 2


def test_the_services_image_has_no_torch(stack: Stack) -> None:
    looked = "import importlib.util as u; print(u.find_spec('torch'), u.find_spec('worker') is not None)"
    assert stack.compose("exec", "-T", "api", "python", "-c", looked).strip() == "None True"


def test_no_page_reaches_api_or_mlflow_under_a_name_of_its_own(stack: Stack) -> None:
    for url in (f"{stack.api}/v1/losses", f"{stack.mlflow}/api/2.0/mlflow/experiments/search?max_results=1"):
        assert httpx.get(url, headers={"host": "rebound.example"}).status_code in (400, 403)
        assert httpx.get(url).status_code == 200


def test_up_once_more_leaves_every_container_as_it_is(stack: Stack) -> None:
    def running() -> list[str]:
        services = ("api", "mlflow", "worker", "postgres")
        return [container["Id"] for service in services for container in stack.containers(service)]

    before = running()
    stack.compose("up", "--detach", "--wait", "--scale", "worker=2")
    assert running() == before
    stack.up("--scale", "worker=2")
    assert running() == before


def test_secrets_are_made_once_and_read_by_those_who_need_them(stack: Stack) -> None:
    before = stack.compose("exec", "-T", "api", "cat", "/secrets/pgpass")
    assert len(before.strip().split(":")[-1]) > 30
    stack.up("--scale", "worker=2")
    assert stack.compose("exec", "-T", "api", "cat", "/secrets/pgpass") == before


def test_a_worker_and_then_the_database_die_and_nothing_is_lost_or_doubled(stack: Stack, undisturbed: Answer) -> None:
    sweep = stack.submit(LONG)
    stack.await_sweep(sweep["id"], lambda found: found["progress"]["running"] > 2)
    stack.crash("worker", index=1)
    before = stack.await_sweep(sweep["id"], lambda found: found["progress"]["complete"] > 3)
    assert not ended(before)
    stack.crash("postgres")
    found = stack.await_sweep(sweep["id"], ended)
    assert_whole(stack, found, undisturbed)
    restarts = [
        container["RestartCount"] for service in ("worker", "postgres") for container in stack.containers(service)
    ]
    assert sum(count > 0 for count in restarts) == 2


def test_data_survive_down_and_up(stack: Stack, undisturbed: Answer) -> None:
    before = values(stack, undisturbed), len(stack.runs(undisturbed))
    stack.compose("down", "--timeout", "20")
    stack.up("--scale", "worker=3")
    assert (values(stack, undisturbed), len(stack.runs(undisturbed))) == before
    assert len(stack.containers("worker")) == 3
    importance = f"/v1/sweeps/{undisturbed['id']}/trials/0/importance"
    assert httpx.get(f"{stack.api}{importance}", headers={"accept": "text/csv"}, timeout=60).text.count("\n") > 100
    again = stack.await_sweep(stack.submit(SWEEP | {"training": {"epochs": 2}})["id"], ended)
    assert again["state"] == "finished"


def test_one_setting_asks_for_keys(stack: Stack) -> None:
    with_keys = Stack(environment={"EVENHAND_API_KEYS": "a-key"})
    with_keys.up("--scale", "worker=1")
    assert httpx.get(f"{with_keys.api}/v1/losses").status_code == 401
    assert httpx.get(f"{with_keys.api}/v1/losses", headers={"authorization": "Bearer a-key"}).status_code == 200
    assert httpx.get(f"{with_keys.api}/readyz").status_code == 200


def test_a_worker_is_killed_no_sooner_than_its_drain_timeout_allows() -> None:
    told = json.loads(Stack(environment={"EVENHAND_DRAIN_TIMEOUT_S": "90"}).compose("config", "--format", "json"))
    worker = told["services"]["worker"]
    assert (worker["environment"]["EVENHAND_DRAIN_TIMEOUT_S"], worker["stop_grace_period"]) == ("90", "1m45s")


def test_workers_get_gpus_by_a_file_beside(stack: Stack) -> None:
    told = stack.compose("-f", "docker-compose.yml", "-f", "docker-compose.gpu.yml", "config", "--format", "json")
    assert '"driver": "nvidia"' in told
    assert (
        subprocess.run(["git", "grep", "-nE", "POSTGRES_PASSWORD[:=]"], cwd=ROOT, capture_output=True).returncode == 1
    )
