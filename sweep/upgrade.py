"""The database brought to the newest version by hand: `python -m sweep.upgrade`, which `evenhand migrate` runs."""

import json
import sys

from .database import engine_for, exclusive, migrate, version
from .errors import EvenhandError
from .settings import Settings
from .studies import Studies

_JSON = "--json"


def upgrade(url: str) -> tuple[str | None, str | None, str]:
    """The version of our tables before and after, and that of Optuna's after; nobody else makes tables meanwhile.

    Raises:
        DatabaseAway: if the server cannot be reached, or refuses.
        OtherVersion: if the database was made by a newer Evenhand.
    """
    with exclusive(url):
        engine = engine_for(url)
        was = version(engine)
        migrate(engine)
        studies = Studies(url, max_retry=0)
        found = was, version(engine), studies.version
        studies.close()
        engine.dispose()
    return found


def main() -> int:
    """Upgrades the database of the settings and says which version it was and is."""
    try:
        was, now, optunas = upgrade(Settings().database)
    except EvenhandError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    before = f"of version {was}" if was else "empty"
    sentence = f"The database was {before} and is of version {now}; Optuna's tables are of version {optunas}."
    answer = json.dumps({"was": was, "is": now, "optuna": optunas}, indent=2)
    sys.stdout.write(f"{answer if _JSON in sys.argv[1:] else sentence}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
