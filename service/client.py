"""The HTTP client of the API, as the `evenhand` command uses it."""

import os
from collections.abc import Callable, Iterator, Mapping
from types import TracebackType
from typing import Any, Literal, Self
from urllib.parse import urlencode
from uuid import uuid4

import httpx
from pydantic_core import PydanticCustomError
from tenacity import Retrying, retry_if_exception_type, stop_after_attempt, wait_exponential

from sweep.submission import HEADER, checked_key

_TIMEOUT_S = 30.0
_TRIES = 4
_JSON = {"content-type": "application/json"}
_UNSENT = (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout)
"""Errors before anything of the request was sent."""
_UNCERTAIN = (None, 500, 502, 503, 504)
"""Statuses, or none, after which nobody knows whether a sweep was taken."""
_AWAY = (None, 502, 503, 504)
"""Statuses, or none, of an API that is away, or whose database is."""
TERMINAL = frozenset({"finished", "cancelled", "failed"})
"""The states of a sweep that has ended; `retry` opens one again that was not cancelled."""

Answer = dict[str, Any]
"""A JSON object as the API answered it."""


class ApiError(Exception):
    """Raised where the API refuses or cannot be reached; the message is for the user."""

    def __init__(self, message: str, *, status: int | None = None, problem: Answer | None = None) -> None:
        """`problem` is the problem+json body, where there was one."""
        self.status, self.problem = status, problem or {}
        super().__init__(message)

    @property
    def is_away(self) -> bool:
        """True where nobody answered for the API: it may soon."""
        return self.status in _AWAY


class Client:
    """One API server."""

    def __init__(self, url: str) -> None:
        """`url` is the server's address, such as http://127.0.0.1:8000; the key is that of EVENHAND_API_KEY, if any."""
        self.url = url.rstrip("/")
        key = os.environ.get("EVENHAND_API_KEY", "")
        headers = {"authorization": f"Bearer {key}"} if key else {}
        self._http = httpx.Client(base_url=self.url, timeout=_TIMEOUT_S, headers=headers)

    def __enter__(self) -> Self:
        """The client itself."""
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        """Closes the connections."""
        self._http.close()

    def submit(self, body: bytes, *, key: str | None = None) -> Answer:
        """The sweep that the JSON body asks for, stored: one, however often it is sent under the same key.

        It is sent again where no answer came. Without `key` it gets one of its own.

        Raises:
            ApiError: with the key, where the sweep may have been taken all the same; or where `key` is none.
        """
        key, unanswered = uuid4().hex if key is None else _checked(key), False

        def send() -> httpx.Response:
            nonlocal unanswered
            try:
                return self._http.post("/v1/sweeps", content=body, headers={**_JSON, HEADER: key})
            except httpx.TransportError as error:
                unanswered |= not isinstance(error, _UNSENT)
                raise

        try:
            return self._answer(self._insist(send))
        except ApiError as error:
            if error.status not in _UNCERTAIN or (error.status is None and not unanswered):
                raise
            hint = (
                f"{error} It may have been taken all the same: sent again with the key {key} (--key) it is one sweep."
            )
            raise ApiError(hint, status=error.status, problem=error.problem) from error

    def sweeps(self, *, state: str | None = None, name: str | None = None) -> Iterator[Answer]:
        """Every sweep, the newest first."""
        params = {key: value for key, value in {"state": state, "name": name}.items() if value}
        while True:
            page = self._get("/v1/sweeps", params)
            yield from page["items"]
            if page["next_cursor"] is None:
                return
            params["cursor"] = page["next_cursor"]

    def sweep(self, sweep_id: str) -> Answer:
        """One sweep."""
        return self._get(f"/v1/sweeps/{sweep_id}")

    def trials(self, sweep_id: str) -> list[Answer]:
        """Every trial of a sweep."""
        items: list[Answer] = []
        cursor: str | None = "0"
        while cursor is not None:
            page = self._get(f"/v1/sweeps/{sweep_id}/trials", {"cursor": cursor})
            items += page["items"]
            cursor = page["next_cursor"]
        return items

    def results(self, sweep_id: str) -> Answer:
        """What a sweep says so far."""
        return self._get(f"/v1/sweeps/{sweep_id}/results")

    def act(self, sweep_id: str, action: Literal["pause", "resume", "cancel", "retry"], **params: str) -> Answer:
        """The sweep after an action on it; the API's reference has the parameters."""
        query = f"?{urlencode(params)}" if params else ""
        return self._answer(self._http_request("POST", f"/v1/sweeps/{sweep_id}/{action}{query}"))

    def readiness(self) -> Answer:
        """What /readyz says; raises ApiError while the service is not ready."""
        return self._answer(self._http_request("GET", "/readyz"))

    def _insist(self, send: Callable[[], httpx.Response]) -> httpx.Response:
        """The answer to what may be sent again; after a few tries in vain it is given up."""
        unanswered = retry_if_exception_type(httpx.TransportError)
        tries = Retrying(
            retry=unanswered, stop=stop_after_attempt(_TRIES), wait=wait_exponential(multiplier=0.3), reraise=True
        )
        return self._once(lambda: tries(send))

    def _get(self, path: str, params: Mapping[str, str] | None = None) -> Answer:
        return self._answer(self._insist(lambda: self._http.get(path, params=params or {})))

    def _http_request(self, method: str, path: str) -> httpx.Response:
        return self._once(lambda: self._http.request(method, path, headers=_JSON))

    def _once(self, send: Callable[[], httpx.Response]) -> httpx.Response:
        try:
            return send()
        except httpx.TransportError as error:
            raise self._unreachable(error) from error

    def _unreachable(self, error: Exception) -> ApiError:
        return ApiError(f"No answer from {self.url} ({error}). Is `evenhand up` running? --url names another server.")

    @staticmethod
    def _answer(response: httpx.Response) -> Answer:
        if response.is_success:
            answer: Answer = response.json()
            return answer
        try:
            problem: Answer = response.json()
        except ValueError:
            problem = {"detail": response.text}
        raise ApiError(str(problem.get("detail", response.text)), status=response.status_code, problem=problem)


def _checked(key: str) -> str:
    try:
        return checked_key(key)
    except PydanticCustomError as error:
        told = error.context or {}
        raise ApiError(f"{HEADER}: {told['problem']} Expected {told['expected']}.", status=422) from error
