"""What was measured on this machine, as JSON files: never trusted blindly, and used where it cannot be kept as well."""

import logging
from pathlib import Path
from typing import TypeVar

from pydantic import BaseModel, ValidationError

from .whole import whole

_Measured = TypeVar("_Measured", bound=BaseModel)
_log = logging.getLogger(__name__)


def read(path: Path, model: type[_Measured], *, what: str) -> _Measured | None:
    """What is kept in the file; None where there is none, or where it cannot be right, which is said in a line."""
    try:
        return model.model_validate_json(path.read_bytes())
    except OSError:
        return None
    except ValidationError as error:
        facts = {"action": f"{what}_refused", "file": str(path), "reason": error.errors()[0]["msg"]}
        _log.warning("%s refused", what, extra=facts)
        return None


def write(path: Path, text: str, *, what: str) -> None:
    """Keeps it in the file; where that fails it is said in a line, and whoever comes next measures again."""
    try:
        with whole(path) as file:
            file.write(text.encode())
    except OSError as error:
        _log.warning("%s not kept", what, extra={"action": f"{what}_not_kept", "reason": str(error)})
