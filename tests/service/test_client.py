"""The HTTP client: what it sends, how it pages, and how it says what went wrong."""

import json
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from service.client import ApiError, Client

from ..serving import Quiet, serving
from .running import Answer, Up

Sent = list[tuple[str, str]]


@contextmanager
def server(answers: list[tuple[int, str] | None]) -> Iterator[tuple[str, Sent]]:
    """A server that gives these answers in turn, None by hanging up; its address, and what it was asked."""
    sent: Sent = []

    class Handler(Quiet):
        def do_GET(self) -> None:
            sent.append((self.command, self.path))
            self.rfile.read(int(self.headers.get("content-length", 0)))
            answer = answers.pop(0)
            if answer is None:
                self.close_connection = True
                return
            self.answer(answer[0], answer[1].encode())

        do_POST = do_GET

    with serving(Handler) as url:
        yield f"{url}/", sent


def test_every_page_is_fetched_and_the_filters_go_along() -> None:
    pages = [{"items": [{"id": "b"}], "next_cursor": "b"}, {"items": [{"id": "a"}], "next_cursor": None}]
    with server([(200, json.dumps(page)) for page in pages]) as (url, sent), Client(url) as client:
        assert [sweep["id"] for sweep in client.sweeps(state="finished", name="my sweep")] == ["b", "a"]
    assert sent == [
        ("GET", "/v1/sweeps?state=finished&name=my+sweep"),
        ("GET", "/v1/sweeps?state=finished&name=my+sweep&cursor=b"),
    ]


def test_every_page_of_trials_is_fetched() -> None:
    pages = [{"items": [{"number": 0}], "next_cursor": "1"}, {"items": [{"number": 1}], "next_cursor": None}]
    with server([(200, json.dumps(page)) for page in pages]) as (url, sent), Client(url) as client:
        assert client.trials("s") == [{"number": 0}, {"number": 1}]
    assert [path for _, path in sent] == ["/v1/sweeps/s/trials?cursor=0", "/v1/sweeps/s/trials?cursor=1"]


def test_a_question_is_asked_again_where_the_connection_broke() -> None:
    with server([None, None, (200, '{"id": "s"}')]) as (url, sent), Client(url) as client:
        assert client.sweep("s") == {"id": "s"}
    assert sent == [("GET", "/v1/sweeps/s")] * 3


def test_an_action_is_sent_once() -> None:
    with server([None, (200, "{}")]) as (url, sent), Client(url) as client, pytest.raises(ApiError) as refused:
        client.act("s", "retry")
    assert str(refused.value).startswith(f"No answer from {url[:-1]} (")
    assert "Is `evenhand up` running?" in str(refused.value)
    assert sent == [("POST", "/v1/sweeps/s/retry")]
    assert (refused.value.status, refused.value.problem) == (None, {})


def test_a_server_that_stays_away_is_given_up_after_a_few_tries() -> None:
    with server([None] * 9) as (url, sent), Client(url) as client, pytest.raises(ApiError, match="--url names another"):
        client.results("s")
    assert 1 < len(sent) < 9


def test_a_problem_becomes_an_error_with_its_detail_and_its_fields(service: Up) -> None:
    with Client(service.api) as client:
        with pytest.raises(ApiError, match="No sweep has the id 'gone'") as missing:
            client.sweep("gone")
        with pytest.raises(ApiError) as refused:
            client.submit(b'{"dataset": "digits"}')
    assert missing.value.status == 404
    assert (refused.value.status, refused.value.problem["errors"][0]["field"]) == (422, "imbalance")


def test_what_is_no_problem_json_is_shown_as_it_is() -> None:
    with server([(502, "Bad gateway")]) as (url, _), Client(url) as client, pytest.raises(ApiError) as error:
        client.readiness()
    assert (str(error.value), error.value.status) == ("Bad gateway", 502)


def test_the_client_answers_what_the_api_answers(service: Up, answered: Answer) -> None:
    with Client(service.api) as client:
        assert client.sweep(answered["id"]) == answered
        assert [trial["number"] for trial in client.trials(answered["id"])] == list(range(10))
        assert client.results(answered["id"])["sweep"] == answered["id"]
        assert answered["id"] in [sweep["id"] for sweep in client.sweeps(name="answered")]
        assert client.readiness() == {"status": "ready", "workers": 2}
