"""The `evenhand` command as a user runs it: what it prints, where, and how it exits."""

import json
import socket
from pathlib import Path

import httpx
import pytest

from .running import ENDLESS, Answer, Up, evenhand

SMALL: Answer = {
    "name": "from the command",
    "dataset": "toy2d",
    "imbalance": {"profile": "exponential", "ratios": [2], "n_max": 40},
    "alpha": 0.1,
    "baselines": ["cross_entropy"],
    "training": {"epochs": 1},
}
COMMANDS = (
    "up", "demo", "worker", "migrate", "submit", "list", "show", "watch", "results", "pause", "resume", "retry",
    "cancel",
)  # fmt: skip


@pytest.fixture(scope="module")
def watched(service: Up, tmp_path_factory: pytest.TempPathFactory) -> Answer:
    """What `submit FILE --watch --json` answers."""
    file = tmp_path_factory.mktemp("cli") / "sweep.json"
    file.write_text(json.dumps(SMALL))
    done = evenhand("submit", str(file), "--watch", "--json", url=service.api)
    assert done.returncode == 0, done.stderr
    answer: Answer = json.loads(done.stdout)
    return answer


def test_submit_watch_stays_until_the_sweep_has_ended_and_answers_with_its_results(
    watched: Answer, api: httpx.Client
) -> None:
    assert (watched["name"], watched["state"]) == ("from the command", "finished")
    assert watched == api.get(f"/v1/sweeps/{watched['sweep']}/results").json()
    assert watched["scenarios"][0]["best"]["params"]["alpha"] == 0.1


def test_submit_reads_standard_input_and_names_the_sweep(service: Up, api: httpx.Client) -> None:
    done = evenhand("submit", "-", url=service.api, text=json.dumps(ENDLESS | {"name": "piped"}))
    assert (done.returncode, done.stderr) == (0, "")
    (sweep,) = api.get("/v1/sweeps", params={"name": "piped"}).json()["items"]
    assert done.stdout == f"Submitted {sweep['id']} with 4 trials.\n"
    assert api.post(f"/v1/sweeps/{sweep['id']}/cancel").status_code == 200


def test_cancel_ends_a_sweep_once_and_watch_then_fails(service: Up) -> None:
    submitted = evenhand("submit", "-", "--json", url=service.api, text=json.dumps(ENDLESS))
    sweep_id = json.loads(submitted.stdout)["id"]
    cancelled = evenhand("cancel", sweep_id, url=service.api)
    assert (cancelled.returncode, cancelled.stdout.split(";")[0]) == (0, f"Cancelling {sweep_id}")
    watched = evenhand("watch", sweep_id, "--json", url=service.api)
    assert (watched.returncode, json.loads(watched.stdout)["state"]) == (1, "cancelled")
    again = evenhand("cancel", sweep_id, "--json", url=service.api)
    assert (again.returncode, again.stdout) == (1, "")
    assert f"Sweep {sweep_id} is cancelled; only a sweep that has not ended can be cancelled." in again.stderr


def test_list_shows_sweeps_in_a_table_and_as_json(service: Up, watched: Answer) -> None:
    table = evenhand("list", "--name", "from the command", url=service.api)
    assert table.returncode == 0
    (row,) = (line for line in table.stdout.splitlines() if "from the command" in line)
    assert [cell.strip() for cell in row.strip("│ ").split("│")][:4] == [
        watched["sweep"], "from the command", "finished", "2/2",
    ]  # fmt: skip
    listed = json.loads(evenhand("list", "--state", "finished", "--json", url=service.api).stdout)
    assert watched["sweep"] in {sweep["id"] for sweep in listed}
    assert {sweep["state"] for sweep in listed} == {"finished"}


def test_show_prints_class_counts_and_every_trial(service: Up, watched: Answer, api: httpx.Client) -> None:
    shown = evenhand("show", watched["sweep"], url=service.api)
    assert shown.returncode == 0
    assert "first arm: 40, second arm: 28, third arm: 20" in shown.stdout  # int(40 / 2 ** 0.5) is 28
    assert "│ adaptive      │ alpha=0.1 │ complete │" in shown.stdout
    assert "│ cross_entropy │           │ complete │" in shown.stdout
    as_json = json.loads(evenhand("show", watched["sweep"], "--json", url=service.api).stdout)
    trials = as_json.pop("trials")
    assert as_json == api.get(f"/v1/sweeps/{watched['sweep']}").json()
    assert trials == api.get(f"/v1/sweeps/{watched['sweep']}/trials").json()["items"]


def test_results_claim_no_more_than_the_replicates_do(service: Up, watched: Answer) -> None:
    shown = evenhand("results", watched["sweep"], url=service.api)
    assert shown.returncode == 0
    assert "exponential, ratio 2 (classes of 40 to 20 samples)" in shown.stdout
    (gain,) = watched["scenarios"][0]["gains"]
    told_apart = gain["test"]["low"] > 0 or gain["test"]["high"] < 0
    assert ("cannot be told apart" in shown.stdout) != told_apart
    assert f"On the test set {gain['verdict']}" in shown.stdout
    assert "so its validation score flatters it" in shown.stdout
    assert json.loads(evenhand("results", watched["sweep"], "--json", url=service.api).stdout) == watched


def test_one_replicate_is_said_to_tell_nothing(service: Up, stripes: Answer) -> None:
    shown = evenhand("results", stripes["id"], url=service.api)
    assert "One replicate" in shown.stdout
    assert "±" not in shown.stdout


def test_a_bad_body_is_refused_with_every_field_on_standard_error(service: Up) -> None:
    body = SMALL | {"alpha": 3, "epochs": 5}
    refused = evenhand("submit", "-", url=service.api, text=json.dumps(body))
    assert (refused.returncode, refused.stdout) == (2, "")
    assert "alpha: alpha 3 is out of bounds. Expected a number in [0, 1]." in refused.stderr.splitlines()
    assert "epochs: There is no key 'epochs' here." in refused.stderr


@pytest.mark.parametrize("command", ["show", "watch", "results", "cancel"])
def test_an_unknown_sweep_fails_and_says_how_to_find_one(command: str, service: Up) -> None:
    failed = evenhand(command, "nosuch", url=service.api)
    assert (failed.returncode, failed.stdout) == (1, "")
    assert failed.stderr == "No sweep has the id 'nosuch'. GET /v1/sweeps lists them.\n"


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (["submit", "missing.json"], "missing.json"),
        (["submit"], "Missing argument"),
        (["show"], "Missing argument"),
        (["frobnicate"], "frobnicate"),
        (["list", "--colour"], "--colour"),
        (["up", "--workers", "-1"], "--workers"),
        (["up", "--port", "many"], "--port"),
    ],
)
def test_bad_usage_exits_with_two_and_names_what_is_wrong(arguments: list[str], named: str, tmp_path: Path) -> None:
    refused = evenhand(*arguments, cwd=tmp_path)
    assert (refused.returncode, refused.stdout) == (2, "")
    assert named in refused.stderr
    assert list(tmp_path.iterdir()) == []


def test_a_state_that_there_is_not_is_bad_usage(service: Up) -> None:
    refused = evenhand("list", "--state", "odd", url=service.api)
    assert refused.returncode == 2
    assert "'finished'" in refused.stderr


@pytest.mark.parametrize("arguments", [["list"], ["cancel", "any"], ["submit", "-"]], ids=lambda words: words[0])
def test_a_server_that_is_away_fails_with_the_remedy(arguments: list[str]) -> None:
    with socket.socket() as silent:  # bound and never listening: every connection is refused
        silent.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{silent.getsockname()[1]}"
        failed = evenhand(*arguments, "--json", "--url", url, text="{}")
    assert (failed.returncode, failed.stdout) == (1, "")
    assert f"No answer from {url}" in failed.stderr
    assert "Is `evenhand up` running? --url names another server." in failed.stderr
    assert "Traceback" not in failed.stderr


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_says_what_it_does_in_a_sentence(command: str) -> None:
    overview, own = evenhand("--help"), evenhand(command, "--help")
    assert (overview.returncode, own.returncode) == (0, 0)
    (row,) = (line.strip("│ ") for line in overview.stdout.splitlines() if line.startswith(f"│ {command} "))
    sentence = row.removeprefix(command).strip()
    assert sentence[0].isupper()
    assert sentence in own.stdout
    assert "Exit codes: 0 well, 1 failed, 2 bad usage." in overview.stdout


@pytest.mark.parametrize("option", ["--width", "--processes"])
@pytest.mark.parametrize("value", ["0", "-1", "many"])
def test_a_worker_refuses_a_number_that_is_none_and_names_the_option(option: str, value: str) -> None:
    done = evenhand("worker", option, value, url="http://127.0.0.1:1")
    assert done.returncode == 2
    assert option in done.stderr
    assert f"got '{value}'" in " ".join(done.stderr.replace("│", " ").split())
