"""Everything that can go wrong by somebody's doing, each with its HTTP status.

EvenhandError                 500  base; never raised itself
├── InvalidSweep              422  a body that cannot be run; lists every field that is wrong
├── ImbalanceError            422  class counts that cannot be made from the data
├── UnknownDataset            422  no data set of that name
├── KeyReused                 422  an Idempotency-Key that came with another body before
├── DatasetError              422  files that cannot be used as a data set
├── NotFound                  404  no sweep, trial or record of that name
├── Conflict                  409  an action that the state forbids
├── NoSpace                   507  too little disk is free to begin anything
├── Unavailable               503  a part we lean on (MLflow) does not answer; try again
│   └── DatabaseAway          503  the database does not answer; what may be done twice is tried again
├── OtherVersion              500  the database, or a sweep in it, was made by a newer Evenhand
├── Untold                    503  the database did not take a result; the trial is made again
└── LateTell                  409  a claim was taken back meanwhile; the worker drops the trial and lives on
"""

import re
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace


@dataclass(frozen=True, slots=True)
class FieldProblem:
    """One wrong field of a body: where, what is wrong, what was expected."""

    field: str
    problem: str
    expected: str

    def as_json(self) -> dict[str, str]:
        """The problem as it stands in the answer's `errors`."""
        return asdict(self)


class EvenhandError(Exception):
    """Base of all our errors; `str(error)` is the message for the user."""

    status = 500
    title = "Evenhand failed"


class InvalidSweep(EvenhandError):
    """Raised while a body is parsed and resolved; the caller mends the fields and submits again."""

    status = 422
    title = "The sweep cannot be run as asked"

    def __init__(self, problems: Sequence[FieldProblem]) -> None:
        """Collects every problem, so that the user mends them in one go."""
        self.problems = tuple(problems)
        super().__init__("; ".join(f"{p.field}: {p.problem} Expected {p.expected}." for p in self.problems))


def invalid(field: str, problem: str, expected: str) -> InvalidSweep:
    """The refusal of one field."""
    return InvalidSweep([FieldProblem(field=field, problem=problem, expected=expected)])


class ImbalanceError(EvenhandError):
    """Raised by `sweep.imbalance` where classes lack samples; the caller lowers the ratio or the head count."""

    status = 422
    title = "The imbalance cannot be made from this data set"

    def __init__(self, problem: str, *, expected: str, field: str) -> None:
        """Keeps the field and the remedy apart, so that they can be shown beside the body's other problems."""
        self.problem = FieldProblem(field=field, problem=problem, expected=expected)
        super().__init__(f"{field}: {problem} Expected {expected}.")

    def named(self, classes: Sequence[str]) -> FieldProblem:
        """The problem with the class's name in the place of its number."""
        named = re.sub(
            r"\b(Class) (\d+)\b", lambda found: f"{found[1]} {classes[int(found[2])]!r}", self.problem.problem
        )
        return replace(self.problem, problem=named)


class UnknownDataset(EvenhandError):
    """Raised where a name is looked up; the caller picks a known name or puts files in place."""

    status = 422
    title = "No such data set"

    def __init__(self, name: str, known: Sequence[str]) -> None:
        """Names what there is, since most of these are slips of the pen."""
        self.problem = FieldProblem(
            field="dataset",
            problem=f"no data set is called {name!r}.",
            expected=f"one of {', '.join(known[:20])}{' and more' if len(known) > 20 else ''}; or a folder of that name"
            " with your files under datasets/ in the data folder",
        )
        super().__init__(f"No data set is called {name!r}. GET /v1/datasets lists them.")


class DatasetError(EvenhandError):
    """Raised by the readers, before anything runs; the operator mends the files."""

    status = 422
    title = "The data set's files cannot be used"

    def __init__(self, problem: str, *, dataset: str) -> None:
        """Puts the data set's name before the problem."""
        self.dataset = dataset
        self.problem = problem
        super().__init__(f"Data set {dataset!r}: {problem}")


class KeyReused(EvenhandError):
    """Raised by the store where a key came with another body before; the caller takes a new key for a new sweep."""

    status = 422
    title = "The key is that of another request"

    def __init__(self, key: str, *, header: str, sweep_id: str) -> None:
        """Names the sweep that was taken under the key."""
        self.problem = FieldProblem(
            field=f"header.{header}",
            problem=f"{key!r} came before with another body, which is sweep {sweep_id}.",
            expected="a new key for another sweep, or the body that came with this one",
        )
        super().__init__(f"{header} {self.problem.problem} Expected {self.problem.expected}.")


class NotFound(EvenhandError):
    """Raised by look-ups; the caller asked for what is not there."""

    status = 404
    title = "Not found"


class Conflict(EvenhandError):
    """Raised by actions; the caller looks at the state, which the message names."""

    status = 409
    title = "The state forbids it"


class NoSpace(EvenhandError):
    """Raised before anything new is begun; the operator makes room."""

    status = 507
    title = "Too little disk is free"


class Unavailable(EvenhandError):
    """Raised when a service we lean on does not answer; the caller tries again later."""

    status = 503
    title = "A part of the service does not answer"


class DatabaseAway(Unavailable):
    """Raised by the engines where the server is away, restarts or is too busy; the caller tries again later.

    Whether the statement was done before the connection broke is not known.
    """

    title = "The database does not answer"


class OtherVersion(EvenhandError):
    """Raised at the start where the database is of a version that this code does not know, and of a sweep that is.

    The operator updates.
    """

    title = "The database was made by another version"


class Untold(EvenhandError):
    """Raised by the queue where the database fails in the middle of a tell; the attempt is lost, and made again."""

    status = 503
    title = "The database did not take the result"


class LateTell(EvenhandError):
    """Raised when a worker tells of a claim that was taken back; it drops the trial and lives on."""

    status = 409
    title = "The trial was ended by somebody else"
