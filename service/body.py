"""How large a request's body may be."""

from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

MAX_BODY_BYTES = 1_000_000


class BodyLimit:
    """Refuses a body of more than `MAX_BODY_BYTES` with 413, where it is read: by its stated length, or counted.

    FastAPI's own `max_body_size` answers a stated length in plain text, past our problem documents.
    """

    def __init__(self, app: ASGIApp) -> None:
        """Stands before `app`, whose error handlers make the answer."""
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answers a request as the application does; one piece of the body over the limit is read at most."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        stated, counted = Headers(scope=scope).get("content-length", "0"), 0

        async def receive_limited() -> Message:
            nonlocal counted
            if stated.isdecimal() and int(stated) > MAX_BODY_BYTES:
                raise _too_large()
            message = await receive()
            counted += len(message.get("body", b""))
            if counted > MAX_BODY_BYTES:
                raise _too_large()
            return message

        await self._app(scope, receive_limited, send)


def _too_large() -> HTTPException:
    return HTTPException(413, f"The body is larger than {MAX_BODY_BYTES:,} bytes")
