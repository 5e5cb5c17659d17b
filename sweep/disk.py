"""The floor of free disk below which nothing new is begun."""

import shutil

from .errors import NoSpace
from .settings import Settings

_MB = 1_000_000


def shortage(settings: Settings) -> str | None:
    """What is said where the data folder's disk has less than `disk_floor_mb` left; None where it has enough."""
    free = shutil.disk_usage(settings.data_dir).free
    if free >= settings.disk_floor_mb * _MB:
        return None
    return (
        f"{free // _MB} MB are free where the data are kept, and nothing is begun below {settings.disk_floor_mb}."
        " Make room there, or lower EVENHAND_DISK_FLOOR_MB."
    )


def check_space(settings: Settings) -> None:
    """Raises NoSpace where there is a shortage."""
    if reason := shortage(settings):
        raise NoSpace(reason)
