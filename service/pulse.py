"""Whether a worker of this host gives signs of life: `python -m service.pulse`, by which its container is judged."""

import socket
import sys
import threading

from sweep.database import engine_for
from sweep.errors import DatabaseAway
from sweep.patience import Patience
from sweep.presence import Presence
from sweep.settings import Settings


def main() -> int:
    """0 where a worker of this host was seen within the grace, else 1; the database is asked once."""
    settings, once = Settings(), threading.Event()
    once.set()
    presence = Presence(engine_for(settings.database), Patience(once))
    try:
        living = presence.living(grace_s=settings.heartbeat_grace_s)
    except DatabaseAway as error:
        sys.stderr.write(f"{error}\n")
        return 1
    # A worker's name is host, process and a few random digits.
    return 0 if socket.gethostname() in {worker.rsplit("-", 2)[0] for worker in living} else 1


if __name__ == "__main__":
    sys.exit(main())
