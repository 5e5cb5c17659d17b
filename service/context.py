"""What routes are given: the parts of the service, its settings, and the key of a submission."""

from typing import Annotated, cast

from fastapi import Depends, Header, Request
from pydantic import AfterValidator

from sweep.errors import NotFound
from sweep.parts import Parts
from sweep.settings import Settings
from sweep.submission import HEADER, Submission, checked_key

_Key = Annotated[
    Annotated[str, AfterValidator(checked_key)] | None,
    Header(
        alias=HEADER, description="A request that is sent again under its key is the same sweep; kept as long as it."
    ),
]


def _parts(request: Request) -> Parts:
    return cast(Parts, request.app.state.parts)


def _settings(request: Request) -> Settings:
    return cast(Settings, request.app.state.settings)


async def _submission(request: Request, key: _Key = None) -> Submission | None:
    return None if key is None else Submission(key=key, body=await request.body())


def refuse_nul(request: Request) -> None:
    """Raises NotFound where a path or a query holds a NUL, which no text in PostgreSQL can."""
    if any("\0" in text for text in (*request.path_params.values(), *request.query_params.values())):
        raise NotFound("Nothing has a NUL character in its name.")


PartsOf = Annotated[Parts, Depends(_parts)]
SettingsOf = Annotated[Settings, Depends(_settings)]
SubmissionOf = Annotated[Submission | None, Depends(_submission)]
"""None where the request bears no key."""
