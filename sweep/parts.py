"""The parts that service and worker are both wired from: database, queue, tracking and data sets."""

import os
import threading
from dataclasses import dataclass
from typing import Self

from .database import engine_for, exclusive, migrate
from .datasets import Datasets
from .patience import Patience
from .reconcile import Reconciler
from .settings import Settings
from .store import Store
from .studies import Studies
from .tracking import Tracking


@dataclass(frozen=True, slots=True, kw_only=True)
class Parts:
    """Everything that a process of ours leans on, made once and passed on."""

    store: Store
    studies: Studies
    tracking: Tracking
    tracking_once: Tracking
    """The same for what is not worth waiting for: it tries once."""
    datasets: Datasets
    reconciler: Reconciler

    @classmethod
    def connect(
        cls, settings: Settings, *, holder: str, stop: threading.Event, patience: Patience | None = None
    ) -> Self:
        """Connects to everything, making what is missing.

        `stop` ends the patience with an MLflow that is away later, and with a database unless `patience` is given.

        Raises:
            DatabaseAway: if it is so now.
            OtherVersion: if the database was made by a newer Evenhand.
        """
        settings.data_dir.mkdir(parents=True, exist_ok=True)
        os.environ.update(settings.mlflow_environment)
        patience = patience or Patience(stop)
        with exclusive(settings.database):
            engine = engine_for(settings.database)
            migrate(engine)
            studies = Studies(settings.database, max_retry=settings.max_retry, patience=patience)
        store = Store(engine, patience)
        tracking = Tracking(settings.mlflow_tracking_uri, stop=stop)
        once = threading.Event()
        once.set()
        tracking_once = Tracking(settings.mlflow_tracking_uri, stop=once)
        return cls(
            store=store,
            studies=studies,
            tracking=tracking,
            tracking_once=tracking_once,
            datasets=Datasets(settings.data_dir),
            reconciler=Reconciler(store, studies, tracking_once, holder=holder, grace_s=settings.heartbeat_grace_s),
        )
