"""What every route is given: the parts of the service and its settings."""

from typing import Annotated, cast

from fastapi import Depends, Request

from sweep.parts import Parts
from sweep.settings import Settings


def _parts(request: Request) -> Parts:
    return cast(Parts, request.app.state.parts)


def _settings(request: Request) -> Settings:
    return cast(Settings, request.app.state.settings)


PartsOf = Annotated[Parts, Depends(_parts)]
SettingsOf = Annotated[Settings, Depends(_settings)]
