"""API keys: where the operator gave some, every request to /v1 bears one of them."""

import hmac
from typing import Annotated

from fastapi import Depends, HTTPException
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer

from .context import SettingsOf

_BEARER = HTTPBearer(auto_error=False, description="A key of EVENHAND_API_KEYS; none is needed where that is empty.")


def require_key(settings: SettingsOf, given: Annotated[HTTPAuthorizationCredentials | None, Depends(_BEARER)]) -> None:
    """Lets the request through where it bears a key, or none is asked for; else answers 401."""
    shown = given.credentials.encode() if given else b""
    matches = [hmac.compare_digest(shown, key.encode()) for key in settings.keys]
    if matches and not any(matches):
        problem = "This key is not known" if given else "A key is needed: send the header Authorization: Bearer KEY"
        raise HTTPException(401, problem, headers={"WWW-Authenticate": "Bearer"})
