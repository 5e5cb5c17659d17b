"""The application: wiring and error handlers."""

import os
import socket
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from importlib.metadata import version

from fastapi import Depends, FastAPI
from starlette.middleware.trustedhost import TrustedHostMiddleware

from sweep.caretaker import Caretaker
from sweep.logs import configure_logs
from sweep.parts import Parts
from sweep.patience import Patience
from sweep.settings import Settings

from . import catalogue, health, pictures, problem, sweeps, trials
from .body import BodyLimit
from .context import refuse_nul
from .keys import require_key

_RECONCILE_EVERY_S = 5.0


def create_app(settings: Settings | None = None) -> FastAPI:
    """The API on the given settings, by default those of the environment."""
    known = settings or Settings()
    configure_logs(json=known.log_json)

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        impatient = threading.Event()
        impatient.set()  # a request never waits for an MLflow that is away
        holder = f"api-{socket.gethostname()}-{os.getpid()}"
        app.state.parts = Parts.connect(known, holder=holder, stop=impatient, patience=Patience())
        with Caretaker(app.state.parts.reconciler, every_s=_RECONCILE_EVERY_S):
            yield

    app = FastAPI(
        title="Evenhand",
        summary="Sweeps over alpha and imbalance with an adaptive class-weighted loss.",
        version=version("evenhand"),
        lifespan=lifespan,
        responses=problem.RESPONSES,
    )
    app.state.settings = known
    app.add_middleware(BodyLimit)
    app.add_middleware(TrustedHostMiddleware, allowed_hosts=[host.strip() for host in known.allowed_hosts.split(",")])
    for module in (sweeps, trials, pictures, catalogue):
        app.include_router(module.router, dependencies=[Depends(require_key), Depends(refuse_nul)])
    app.include_router(health.router)
    problem.install(app)
    return app
