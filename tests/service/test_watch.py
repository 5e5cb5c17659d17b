"""Watching a sweep: lines without a terminal, a bar a scenario on one."""

import io
from itertools import count

import pytest
from rich.console import Console

from service import watch as watching
from service.client import ApiError, Client
from service.watch import watch

from .running import Answer, Up


@pytest.fixture
def client(service: Up) -> Client:
    return Client(service.api)


def test_a_sweep_that_has_ended_is_answered_at_once_with_a_line(client: Client, answered: Answer) -> None:
    said, looks = io.StringIO(), []
    with client:
        found = watch(client, answered["id"], Console(file=said, width=120), meanwhile=lambda: looks.append(1))
    assert found == answered
    assert said.getvalue() == "finished: 10 of 10 trials complete, 0 running, 0 failed\n"
    assert looks == []


def test_a_terminal_shows_a_bar_a_scenario_with_the_best_so_far(client: Client, answered: Answer) -> None:
    said = io.StringIO()
    console = Console(file=said, width=160, force_terminal=True, color_system=None, legacy_windows=False)
    with client:
        watch(client, answered["id"], console)
        trials = client.trials(answered["id"])
    shown = said.getvalue()
    for ratio in (1, 10):
        swept = [t for t in trials if t["scenario"]["ratio"] == ratio and t["loss"] == "adaptive"]
        best = max(swept, key=lambda trial: trial["value"])
        assert f"exponential ×{ratio} " in shown
        assert f"so far {best['value']:.3f} at alpha {best['params']['alpha']:.3g}" in shown
    assert shown.count("5/5") >= 2
    assert "trials complete" not in shown


def test_a_sweep_in_which_nothing_is_complete_has_no_best(client: Client, cancelled: Answer) -> None:
    said = io.StringIO()
    console = Console(file=said, width=160, force_terminal=True, color_system=None, legacy_windows=False)
    with client:
        assert watch(client, cancelled["id"], console)["state"] == "cancelled"
    assert "4/4" in said.getvalue()
    assert "so far" not in said.getvalue()


def out_for(client: Client, monkeypatch: pytest.MonkeyPatch, *, times: int) -> None:
    """Has the API answer in vain after the first look, so many times."""
    ask, asked = client.trials, count()

    def trials(sweep_id: str) -> list[Answer]:
        if next(asked) < times:
            raise ApiError("No answer.", status=503)
        return ask(sweep_id)

    monkeypatch.setattr(client, "trials", trials)


def test_an_api_that_goes_away_is_waited_for(client: Client, answered: Answer, monkeypatch: pytest.MonkeyPatch) -> None:
    said, looks = io.StringIO(), []
    out_for(client, monkeypatch, times=3)
    monkeypatch.setattr(watching, "_POLL_S", 0.01)
    with client:
        found = watch(client, answered["id"], Console(file=said, width=120), meanwhile=lambda: looks.append(1))
    assert found == answered
    assert said.getvalue().count("No answer. Waiting for it; the sweep goes on meanwhile.") == 1
    assert len(looks) == 3  # who watches over the services still does


def test_an_api_that_stays_away_or_refuses_ends_the_watching(
    client: Client, answered: Answer, monkeypatch: pytest.MonkeyPatch
) -> None:
    out_for(client, monkeypatch, times=1_000_000)
    monkeypatch.setattr(watching, "_POLL_S", 0.01)
    monkeypatch.setattr(watching, "_AWAY_S", 0.1)
    with client:
        with pytest.raises(ApiError, match=r"No answer\."):
            watch(client, answered["id"], Console(file=io.StringIO()))
        with pytest.raises(ApiError) as refused:
            watch(client, "no-such-sweep", Console(file=io.StringIO()))
    assert refused.value.status == 404
