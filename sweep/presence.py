"""Who is there, and who holds what for a while: workers' signs of life, and leases, by the database's clock."""

from sqlalchemy import Engine, and_, delete, insert, or_, select, update
from sqlalchemy.exc import IntegrityError

from .clock import moment
from .patience import Patience, patiently
from .tables import LEASES, WORKERS


class Presence:
    """Workers and leases in the database; every method is one transaction."""

    def __init__(self, engine: Engine, patience: Patience | None = None) -> None:
        """Takes an engine from `database.engine_for`, its tables migrated."""
        self._engine = engine
        self.patience = patience or Patience()

    def lease(self, name: str, *, holder: str, seconds: float) -> bool:
        """True where `holder` now holds the lease called `name`, until it expires or is released.

        It excludes everybody, `holder` included: a second thread of one process needs a lease as any other.
        """
        return self.patience.insist(lambda again: self._take(name, holder, seconds, again=again))

    def _take(self, name: str, holder: str, seconds: float, *, again: bool) -> bool:
        """Takes a lease; `again` it may be held already, since an outage left open whether it was taken."""
        values = {"holder": holder, "expires_at": moment(seconds)}
        expired, mine = LEASES.c.expires_at < moment(), LEASES.c.holder == holder
        free = and_(LEASES.c.name == name, or_(expired, mine) if again else expired)
        try:
            with self._engine.begin() as connection:
                if connection.execute(update(LEASES).where(free).values(**values)).rowcount == 1:
                    return True
                connection.execute(insert(LEASES).values(name=name, **values))
        except IntegrityError:
            return False
        return True

    @patiently
    def extend(self, name: str, *, holder: str, seconds: float) -> bool:
        """Holds a lease for `seconds` from now; False where it has expired and somebody else holds it."""
        mine = and_(LEASES.c.name == name, LEASES.c.holder == holder)
        with self._engine.begin() as connection:
            return connection.execute(update(LEASES).where(mine).values(expires_at=moment(seconds))).rowcount == 1

    @patiently
    def release(self, name: str, *, holder: str) -> None:
        """Gives a lease back before it expires."""
        with self._engine.begin() as connection:
            connection.execute(delete(LEASES).where(LEASES.c.name == name, LEASES.c.holder == holder))

    def beat(self, worker: str) -> None:
        """Gives a sign of life; the first one signs the worker on."""
        now = moment()
        with self._engine.begin() as connection:
            if connection.execute(update(WORKERS).where(WORKERS.c.name == worker).values(beat_at=now)).rowcount == 0:
                connection.execute(insert(WORKERS).values(name=worker, started_at=now, beat_at=now))

    @patiently
    def sign_off(self, worker: str) -> None:
        """Takes a leaving worker's row away, so that nobody waits for its signs of life."""
        with self._engine.begin() as connection:
            connection.execute(delete(WORKERS).where(WORKERS.c.name == worker))

    @patiently
    def living(self, *, grace_s: float) -> set[str]:
        """The workers that gave a sign of life within `grace_s` seconds; the others' rows are taken away."""
        dead = WORKERS.c.beat_at < moment(-grace_s)
        with self._engine.begin() as connection:
            connection.execute(delete(WORKERS).where(dead))
            return set(connection.execute(select(WORKERS.c.name)).scalars())

    def ping(self) -> None:
        """Raises DatabaseAway where the database does not answer."""
        with self._engine.begin() as connection:
            connection.execute(select(1))
