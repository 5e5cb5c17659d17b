"""Runs of sweeps that nobody trained: slots claimed and told by hand, results made of given numbers."""

import socket
import socketserver
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from urllib.parse import urlsplit

import pytest
from matplotlib.figure import Figure

from sweep.reconcile import Reconciler
from sweep.slots import Attempt, Outcome, Replicate, Slot, SlotState
from sweep.store import Store, Sweep
from sweep.studies import Claim, Studies
from sweep.tracking import Tracking

Submit = Callable[..., Sweep]
Told = Callable[..., list[Slot]]


def impatient(uri: str) -> Tracking:
    """Tracking that tries once."""
    once = threading.Event()
    once.set()
    return Tracking(uri, stop=once)


@pytest.fixture
def reconciler(store: Store, studies: Studies, mlflow_url: str) -> Reconciler:
    """A reconciler as every worker has one."""
    return Reconciler(store, studies, impatient(mlflow_url), holder="ann", grace_s=60)


@dataclass
class Gate:
    """A port that leads to the MLflow server once it is opened; until then nobody answers there."""

    target: tuple[str, int]
    port: int
    servers: list[socketserver.ThreadingTCPServer] = field(default_factory=list)

    @property
    def url(self) -> str:
        """Where MLflow seems to be."""
        return f"http://127.0.0.1:{self.port}"

    def open(self) -> None:
        """Lets everybody through from now on."""
        target = self.target

        class Forward(socketserver.BaseRequestHandler):
            def handle(self) -> None:
                with socket.create_connection(target) as there:
                    back = threading.Thread(target=_copy, args=(there, self.request), daemon=True)
                    back.start()
                    _copy(self.request, there)
                    back.join(30)

        socketserver.ThreadingTCPServer.allow_reuse_address = True
        server = socketserver.ThreadingTCPServer(("127.0.0.1", self.port), Forward)
        server.daemon_threads = True
        self.servers.append(server)
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()


@pytest.fixture
def gate(mlflow_url: str) -> Iterator[Gate]:
    """MLflow behind a gate that is shut."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    address = urlsplit(mlflow_url)
    gate = Gate((str(address.hostname), int(address.port or 0)), port)
    yield gate
    for server in gate.servers:
        server.shutdown()
        server.socket.close()


def replicates(values: Sequence[float], test: Sequence[float] | None = None) -> list[Replicate]:
    """Replicates under the seeds 0, 1, … with these balanced accuracies on validation and test."""
    return [
        Replicate(seed=seed, value=value, validation={"balanced_accuracy": value}, test={"balanced_accuracy": tested})
        for seed, (value, tested) in enumerate(zip(values, test or values, strict=True))
    ]


def attempt(outcome: Outcome | None = None, *, waits: bool = False, **fields: object) -> Attempt:
    """An attempt that ended as said, or that waits or runs."""
    known: dict[str, object] = {
        "trial_id": 0, "worker": "ann", "started_at": None, "ended_at": None, "reason": None, "params": {},
        "value": None, "replicates": [], "run_id": None,
    }  # fmt: skip
    return Attempt(waits=waits, outcome=outcome, **{**known, **fields})  # type: ignore[arg-type]


@pytest.fixture
def told() -> Told:
    """The slots of a sweep, the replicates of each by its number; the rest waits."""

    def tell(
        sweep: Sweep,
        scores: dict[int, Sequence[float]],
        *,
        tests: dict[int, Sequence[float]] | None = None,
        alphas: Sequence[float] = (),
    ) -> list[Slot]:
        slots = []
        for plan in sweep.studies:
            for index, number in enumerate(plan.numbers):
                tried: tuple[Attempt, ...] = ()
                if number in scores:
                    values = scores[number]
                    point = {"alpha": alphas[index]} if plan.loss.name == "adaptive" else {}
                    mean = sum(values) / len(values)
                    seen = replicates(values, (tests or {}).get(number))
                    tried = (attempt("complete", params=point, value=mean, replicates=seen),)
                slots.append(Slot(number=number, plan=plan, attempts=tried, max_retry=2, is_wanted=True))
        return slots

    return tell


@pytest.fixture
def laid(submit: Submit, studies: Studies) -> Submit:
    """Submits a sweep and lays its slots."""

    def lay(**fields: object) -> Sweep:
        sweep = submit(**{"imbalance": {"profile": "exponential", "ratios": [10]}, **fields})
        studies.lay(sweep, studies.slots(sweep))
        return sweep

    return lay


def states(studies: Studies, sweep: Sweep) -> list[SlotState]:
    return [slot.state for slot in studies.slots(sweep)]


def claim_one(studies: Studies, sweep: Sweep, worker: str = "ann") -> Claim:
    (claim,) = studies.claim(sweep, worker=worker, width=1)
    return claim


def last(slot: Slot) -> Attempt:
    assert slot.last is not None
    return slot.last


def _copy(source: socket.socket, target: socket.socket) -> None:
    try:
        while data := source.recv(65_536):
            target.sendall(data)
        target.shutdown(socket.SHUT_WR)
    except OSError:
        return


@pytest.fixture
def drawn(monkeypatch: pytest.MonkeyPatch) -> list[Figure]:
    """Every figure that is drawn, as matplotlib has it."""
    figures: list[Figure] = []
    save = Figure.savefig

    def keep(figure: Figure, *args: object, **kwargs: object) -> None:
        figures.append(figure)
        save(figure, *args, **kwargs)  # type: ignore[arg-type]

    monkeypatch.setattr(Figure, "savefig", keep)
    return figures
