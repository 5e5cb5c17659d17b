"""The store of sweeps: what was asked, by the time it was asked, and what is wanted of it.

Trials are Optuna's (`studies`), observations MLflow's (`tracking`). Two columns are copies, made when a sweep ends
so that lists are fast: `state` and `progress`, both counted from Optuna's trials (`Store.close` writes them).
"""

import logging
import secrets
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from itertools import islice
from typing import Annotated, Literal, get_args

from pydantic import AfterValidator, TypeAdapter, ValidationError
from sqlalchemy import ColumnElement, Engine, RowMapping, and_, insert, null, or_, select, update
from sqlalchemy.exc import IntegrityError

from .errors import KeyReused, NotFound, OtherVersion
from .patience import Patience, patiently
from .plan import Scenario, StudyPlan, studies
from .presence import Presence
from .resolve import ResolvedSweep
from .spec import SweepSpec
from .submission import HEADER, Submission
from .tables import SWEEPS

Wanted = Literal["run", "pause", "pause_now", "cancel"]
"""What is to become of a sweep; in a pause running trials end in peace, in a pause now they are queued again."""
PAUSES: tuple[Wanted, ...] = ("pause", "pause_now")
SweepState = Literal["queued", "running", "paused", "finished", "cancelled", "failed"]
_Moment = Annotated[datetime, AfterValidator(lambda moment: moment.replace(tzinfo=UTC))]
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class DatasetMark:
    """What a sweep remembers of its data set: enough to notice that the files were changed meanwhile."""

    classes: tuple[str, ...]
    content: str
    """Hash over the prepared arrays."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sweep:
    """A stored sweep."""

    id: str
    name: str
    created_at: _Moment
    spec: SweepSpec
    scenarios: tuple[Scenario, ...]
    dataset: DatasetMark
    wanted: Wanted
    experiment_id: str | None
    ended_at: _Moment | None
    state: SweepState | None
    """Only of a sweep that has ended."""
    progress: Mapping[str, int] | None
    """Only of a sweep that has ended."""

    @property
    def studies(self) -> tuple[StudyPlan, ...]:
        """The plan of the sweep's studies."""
        return studies(self.spec, len(self.scenarios))


_SWEEP = TypeAdapter(Sweep)


class Store(Presence):
    """Sweeps, leases and signs of life in the database; every method is one transaction.

    Leases and signs of life go by the database's clock, never by a host's. Where the database stays away every method
    raises DatabaseAway; all but `beat` and `ping` try again first. A sweep that a newer Evenhand stored is left out of
    lists, and raises OtherVersion by itself.
    """

    def __init__(self, engine: Engine, patience: Patience | None = None) -> None:
        """Takes an engine from `database.engine_for`, its tables migrated."""
        super().__init__(engine, patience)
        self._left_out: set[str] = set()

    def add(self, resolved: ResolvedSweep, dataset: DatasetMark) -> Sweep:
        """Stores a sweep under a new id; once this returns, the sweep is promised."""
        return self._add(_row(resolved, dataset))

    def add_once(
        self, resolved: ResolvedSweep, dataset: DatasetMark, submission: Submission | None
    ) -> tuple[Sweep, bool]:
        """The sweep of a submission, and whether it is new: it is not where its key was taken at the same moment.

        Raises:
            KeyReused: if the key was taken with another body.
        """
        if submission is None:
            return self.add(resolved, dataset), True
        mark = {"idempotency_key": submission.key, "request_hash": submission.digest}
        try:
            return self._add(_row(resolved, dataset) | mark), True
        except IntegrityError:
            earlier = self.submitted(submission)
            if earlier is None:
                raise
            return earlier, False

    @patiently
    def submitted(self, submission: Submission) -> Sweep | None:
        """The sweep that was taken under the submission's key; None where there is none.

        Raises:
            KeyReused: if it was taken with another body.
        """
        query = select(SWEEPS).where(SWEEPS.c.idempotency_key == submission.key)
        with self._engine.begin() as connection:
            row = connection.execute(query).mappings().one_or_none()
        if row is not None and row["request_hash"] != submission.digest:
            raise KeyReused(submission.key, header=HEADER, sweep_id=row["id"])
        return None if row is None else _sweep(row)

    def _add(self, row: Mapping[str, object]) -> Sweep:
        self.patience.insist(lambda again: self._insert(row, again=again))
        return self.get(str(row["id"]))

    def _insert(self, row: Mapping[str, object], *, again: bool) -> None:
        """Inserts a sweep; `again` it may be there, since an outage left open whether it was inserted."""
        try:
            with self._engine.begin() as connection:
                connection.execute(insert(SWEEPS).values(**row))
        except IntegrityError:
            if not (again and self._holds(row["id"])):
                raise

    def _holds(self, sweep_id: object) -> bool:
        with self._engine.begin() as connection:
            return connection.execute(select(SWEEPS.c.id).where(SWEEPS.c.id == sweep_id)).first() is not None

    @patiently
    def get(self, sweep_id: str) -> Sweep:
        """The sweep of that id.

        Raises:
            NotFound: if there is none.
        """
        with self._engine.begin() as connection:
            row = connection.execute(select(SWEEPS).where(SWEEPS.c.id == sweep_id)).mappings().one_or_none()
        if row is None:
            raise NotFound(f"No sweep has the id {sweep_id!r}. GET /v1/sweeps lists them.")
        return _sweep(row)

    @patiently
    def page(
        self, *, limit: int, before: str | None = None, state: str | None = None, name: str | None = None
    ) -> list[Sweep]:
        """Sweeps from the newest on, after the one with id `before`; `state` narrows to ended ones of that state, or
        with "open" to those that have not ended, `name` to names that contain it."""
        query = select(SWEEPS).order_by(SWEEPS.c.created_at.desc(), SWEEPS.c.id.desc())
        if before is not None:
            moment = self.get(before).created_at.replace(tzinfo=None)
            query = query.where(
                or_(SWEEPS.c.created_at < moment, and_(SWEEPS.c.created_at == moment, SWEEPS.c.id < before))
            )
        if state is not None:
            query = query.where(SWEEPS.c.ended_at.is_(None) if state == "open" else SWEEPS.c.state == state)
        if name is not None:
            query = query.where(SWEEPS.c.name.contains(name, autoescape=True))
        with self._engine.connect() as there, there.execution_options(yield_per=limit).execute(query) as found:
            return list(islice(self._readable(found.mappings()), limit))

    @patiently
    def open_sweeps(self) -> list[Sweep]:
        """The sweeps that have not ended, the oldest first: what workers look at for work."""
        query = select(SWEEPS).where(SWEEPS.c.ended_at.is_(None)).order_by(SWEEPS.c.created_at, SWEEPS.c.id)
        with self._engine.begin() as connection:
            return list(self._readable(connection.execute(query).mappings()))

    def _readable(self, rows: Iterable[RowMapping]) -> Iterator[Sweep]:
        """The sweeps of these rows, but for what another version stored; each of which is said once."""
        for row in rows:
            try:
                yield _sweep(row)
            except OtherVersion as error:
                if row["id"] not in self._left_out:
                    self._left_out.add(row["id"])
                    facts = {"action": "sweep_left_out", "sweep": row["id"], "reason": str(error)}
                    _log.warning("sweep left out", extra=facts)

    def want(self, sweep_id: str, wanted: Wanted, *, instead_of: Collection[Wanted] = get_args(Wanted)) -> bool:
        """Writes what is wanted of a sweep; False where it has ended already, or something else was wanted."""
        found = SWEEPS.c.wanted.in_
        return self.patience.insist(  # tried again it may be wanted already, since its answer was lost
            lambda again: self._changed(sweep_id, {"wanted": wanted}, found([*instead_of, *([wanted] * again)]))
        )

    @patiently
    def reopen(self, sweep_id: str) -> None:
        """Makes a sweep that has ended one that has not."""
        values = {"wanted": "run", "ended_at": None, "state": None, "progress": null()}
        with self._engine.begin() as connection:
            connection.execute(update(SWEEPS).where(SWEEPS.c.id == sweep_id).values(**values))

    @patiently
    def wanted(self, sweep_id: str) -> Wanted:
        """What is wanted of the sweep now, without reading the rest of it."""
        with self._engine.begin() as connection:
            return connection.execute(select(SWEEPS.c.wanted).where(SWEEPS.c.id == sweep_id)).scalar_one()  # type: ignore[no-any-return]

    @patiently
    def set_experiment(self, sweep_id: str, experiment_id: str) -> None:
        """Notes which MLflow experiment the sweep's runs are in."""
        with self._engine.begin() as connection:
            connection.execute(update(SWEEPS).where(SWEEPS.c.id == sweep_id).values(experiment_id=experiment_id))

    @patiently
    def close(self, sweep_id: str, *, state: SweepState, progress: Mapping[str, int], wanted: Wanted) -> bool:
        """Marks a sweep as ended; False where it has ended already, or something else than `wanted` is wanted of it."""
        values = {"ended_at": _now(), "state": state, "progress": dict(progress)}
        return self._changed(sweep_id, values, SWEEPS.c.wanted == wanted)

    def _changed(self, sweep_id: str, values: Mapping[str, object], *conditions: ColumnElement[bool]) -> bool:
        still_open = and_(SWEEPS.c.id == sweep_id, SWEEPS.c.ended_at.is_(None), *conditions)
        with self._engine.begin() as connection:
            return connection.execute(update(SWEEPS).where(still_open).values(**values)).rowcount == 1


def _row(resolved: ResolvedSweep, dataset: DatasetMark) -> dict[str, object]:
    """A new row, under a new id."""
    return {
        "id": f"{datetime.now(UTC):%Y%m%d}-{secrets.token_hex(4)}",
        "name": resolved.spec.name,
        "created_at": _now(),
        "spec": resolved.spec.model_dump(mode="json"),
        "scenarios": [asdict(scenario) for scenario in resolved.scenarios],
        "dataset": asdict(dataset),
        "wanted": "run",
    }


def _now() -> datetime:
    """The time in UTC, without a zone, as both databases keep it."""
    return datetime.now(UTC).replace(tzinfo=None)


def _sweep(row: RowMapping) -> Sweep:
    try:
        return _SWEEP.validate_python(dict(row))
    except ValidationError as error:
        raise OtherVersion(f"Sweep {row['id']} was stored by another version of Evenhand. Update this one.") from error
