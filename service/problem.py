"""Errors as problem+json (RFC 9457): one shape for everything that goes wrong."""

import logging
from collections.abc import Sequence

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException

from sweep.errors import (
    DatasetError,
    EvenhandError,
    FieldProblem,
    ImbalanceError,
    InvalidSweep,
    KeyReused,
    UnknownDataset,
)
from sweep.problems import field_problems

_RETRY_AFTER_S = "5"
_STRINGS = ("type", "title", "detail")
_REMEDIES = {413: "A sweep takes a few thousand. Its data set goes into the data folder, and its name into the request"}
CONTENT: dict[str, object] = {
    "application/problem+json": {
        "schema": {
            "type": "object",
            "properties": {
                **{name: {"type": "string"} for name in _STRINGS},
                "status": {"type": "integer"},
                "errors": {
                    "type": "array",
                    "items": {
                        "type": "object",
                        "properties": {name: {"type": "string"} for name in ("field", "problem", "expected")},
                    },
                },
            },
        }
    }
}
"""A problem, for OpenAPI."""
RESPONSES: dict[int | str, dict[str, object]] = {
    422: {"description": "What was asked cannot be done; `errors` names each field that is wrong", "content": CONTENT}
}
"""How refusals look, for OpenAPI."""
_log = logging.getLogger(__name__)


def install(app: FastAPI) -> None:
    """Gives the application its error handlers."""
    app.add_exception_handler(RequestValidationError, _invalid_request)
    app.add_exception_handler(EvenhandError, _ours)
    app.add_exception_handler(HTTPException, _http)
    app.add_exception_handler(Exception, _unexpected)


def _invalid_request(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, RequestValidationError)
    wrong = field_problems(error.errors())
    if all(one["loc"][0] != "body" for one in error.errors()):
        return _problem(
            422, "The request cannot be answered", "A parameter of the query, or a header, is wrong.", wrong
        )
    kind = request.headers.get("content-type", "none")
    if "json" not in kind:  # as `curl -d` alone sends it
        wrong = [FieldProblem("body", f"Its content type is {kind}.", "the header content-type: application/json")]
    return _ours(request, InvalidSweep(wrong))


def _ours(_request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, EvenhandError)
    answer = _problem(error.status, error.title, str(error), _fields(error))
    if error.status == 503:
        answer.headers["Retry-After"] = _RETRY_AFTER_S
    return answer


def _http(_request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, HTTPException)
    remedy = _REMEDIES.get(error.status_code, "/docs lists what there is")
    answer = _problem(error.status_code, error.detail, f"{error.detail}. {remedy}.")
    answer.headers.update(error.headers or {})
    return answer


def _unexpected(request: Request, error: Exception) -> JSONResponse:
    _log.error("request failed", exc_info=error, extra={"action": "request_failed", "path": request.url.path})
    return _problem(500, "Evenhand failed", "This is our fault; the server's log has the cause.")


def _fields(error: EvenhandError) -> Sequence[FieldProblem]:
    if isinstance(error, InvalidSweep):
        return error.problems
    if isinstance(error, ImbalanceError | UnknownDataset | KeyReused):
        return [error.problem]
    if isinstance(error, DatasetError):
        return [FieldProblem("dataset", error.problem, "files that can be read; GET /v1/datasets tells more")]
    return []


def _problem(status: int, title: str, detail: str, fields: Sequence[FieldProblem] = ()) -> JSONResponse:
    body: dict[str, object] = {"type": "about:blank", "title": title, "status": status, "detail": detail}
    if fields:
        body["errors"] = [field.as_json() for field in fields]
    return JSONResponse(body, status_code=status, media_type="application/problem+json")
