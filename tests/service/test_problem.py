"""Errors of every kind in the one shape that clients know, where no running service could be brought to raise them."""

import asyncio

import httpx
import pytest
from fastapi import FastAPI

from service import problem
from sweep.errors import (
    Conflict,
    DatabaseAway,
    DatasetError,
    EvenhandError,
    ImbalanceError,
    NotFound,
    Unavailable,
    UnknownDataset,
)


def ask(error: Exception) -> httpx.Response:
    """The answer of an application whose only route raises `error`."""
    app = FastAPI()
    problem.install(app)

    @app.get("/")
    def route() -> None:
        raise error

    async def get() -> httpx.Response:
        transport = httpx.ASGITransport(app, raise_app_exceptions=False)
        async with httpx.AsyncClient(transport=transport, base_url="http://app") as client:
            return await client.get("/")

    return asyncio.run(get())


@pytest.mark.parametrize(
    ("error", "status", "title"),
    [
        (NotFound("No such thing."), 404, "Not found"),
        (Conflict("It has ended."), 409, "The state forbids it"),
        (Unavailable("MLflow does not answer."), 503, "A part of the service does not answer"),
        (DatabaseAway("It does not answer."), 503, "The database does not answer"),
        (EvenhandError("Odd."), 500, "Evenhand failed"),
    ],
)
def test_an_error_of_ours_has_its_status_title_and_message(error: EvenhandError, status: int, title: str) -> None:
    answer = ask(error)
    assert (answer.status_code, answer.headers["content-type"]) == (status, "application/problem+json")
    assert answer.json() == {"type": "about:blank", "title": title, "status": status, "detail": str(error)}
    assert ("retry-after" in answer.headers) == (status == 503)


@pytest.mark.parametrize(
    ("error", "field", "expected"),
    [
        (ImbalanceError("Too few.", expected="more", field="imbalance.n_max"), "imbalance.n_max", "more"),
        (
            UnknownDataset("x", ["toy2d", "digits"]),
            "dataset",
            "one of toy2d, digits; or a folder of that name with your files under datasets/ in the data folder",
        ),
        (DatasetError("no rows.", dataset="x"), "dataset", "files that can be read; GET /v1/datasets tells more"),
    ],
)
def test_what_is_wrong_with_the_data_names_its_field(error: EvenhandError, field: str, expected: str) -> None:
    answer = ask(error)
    assert answer.status_code == 422
    (named,) = answer.json()["errors"]
    assert (named["field"], named["expected"]) == (field, expected)
    assert answer.json()["detail"] == str(error)


def test_an_error_that_nobody_foresaw_is_ours_and_tells_no_secrets() -> None:
    answer = ask(RuntimeError("the password is swordfish"))
    assert (answer.status_code, answer.headers["content-type"]) == (500, "application/problem+json")
    assert "swordfish" not in answer.text
    assert answer.json()["detail"] == "This is our fault; the server's log has the cause."
