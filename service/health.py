"""Routes that say whether the service lives, and whether all that it leans on does."""

from fastapi import APIRouter
from pydantic import BaseModel

from sweep.disk import check_space

from .context import PartsOf, SettingsOf

router = APIRouter(tags=["health"])


class Health(BaseModel):
    """The process answers."""

    status: str = "ok"


class Readiness(BaseModel):
    """Database and MLflow answer; how many workers gave a sign of life lately."""

    status: str = "ready"
    workers: int


@router.get("/healthz")
def healthz() -> Health:
    """Says that the process lives; looks at nothing else."""
    return Health()


@router.get("/readyz")
def readyz(parts: PartsOf, settings: SettingsOf) -> Readiness:
    """Says that database and MLflow answer and that there is disk, or 503 or 507 with what there is not."""
    check_space(settings)
    parts.store.ping()
    parts.tracking.ping()
    return Readiness(workers=len(parts.store.living(grace_s=settings.heartbeat_grace_s)))
