"""Routes that say what there is: data sets, losses and models, with their parameters and bounds."""

from typing import Generic, TypeVar

from fastapi import APIRouter
from pydantic import BaseModel

from sweep.datasets import Listed
from sweep.losses import LOSSES, Loss
from sweep.models import MODELS, Model

from .context import PartsOf

router = APIRouter(prefix="/v1", tags=["catalogue"])
_Item = TypeVar("_Item")


class Catalogue(BaseModel, Generic[_Item]):
    """Everything of one kind; it comes in one page."""

    items: list[_Item]
    next_cursor: None = None


@router.get("/datasets")
def datasets(parts: PartsOf) -> Catalogue[Listed]:
    """The built-in data sets and the operator's own, each with its classes, or with what keeps it from being used."""
    return Catalogue(items=list(parts.datasets.listing()))


@router.get("/losses")
def losses() -> Catalogue[Loss]:
    """The losses, with parameters, bounds and sources."""
    return Catalogue(items=list(LOSSES.values()))


@router.get("/models")
def models() -> Catalogue[Model]:
    """The models, and which inputs they take."""
    return Catalogue(items=list(MODELS.values()))
