"""A submission under a key: the same request, sent again since no answer came, is the same sweep."""

import hashlib
import json
import re
from dataclasses import dataclass

from .strict import refusal

HEADER = "Idempotency-Key"
MAX_KEY_LENGTH = 255
_PRINTABLE = re.compile(r"[!-~]([ -~]*[!-~])?")


@dataclass(frozen=True, slots=True, kw_only=True)
class Submission:
    """A request's key and its body, as they came."""

    key: str
    body: bytes
    """JSON, once a spec was parsed from it."""

    @property
    def digest(self) -> str:
        """What tells the body from another: a hash of its JSON with sorted keys and without spaces.

        The body is taken as it was sent and not as the spec that it became: a spec holds the defaults of the Evenhand
        that parsed it, and a request may be repeated after an update. Its bytes alone would tell too much apart: a
        client that writes its JSON anew may order the keys otherwise.
        """
        canonical = json.dumps(json.loads(self.body), sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(canonical.encode()).hexdigest()


def checked_key(key: str) -> str:
    """The key itself, where it can be one.

    Raises:
        PydanticCustomError: saying what a key is, as for any other field.
    """
    if len(key) > MAX_KEY_LENGTH or not _PRINTABLE.fullmatch(key):
        raise refusal(
            f"{key[:40]!r}{'…' if len(key) > 40 else ''} is no key.",
            f"1 to {MAX_KEY_LENGTH} printable ASCII characters, the first and the last no space; a UUID will do",
        )
    return key
