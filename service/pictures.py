"""Routes of pictures."""

from fastapi import APIRouter, Response

from sweep.predictions import predictions_picture

from .context import PartsOf

router = APIRouter(prefix="/v1/sweeps/{sweep_id}/pictures", tags=["sweeps"])


@router.get("/predictions", response_class=Response, responses={200: {"content": {"image/png": {}}}})
def predictions(sweep_id: str, parts: PartsOf) -> Response:
    """Test images, their truth, and the predictions of the best trial and every baseline, as PNG (labels by pixel)."""
    sweep = parts.store.get(sweep_id)
    picture = predictions_picture(sweep, parts.studies.slots(sweep), parts.tracking)
    return Response(picture, media_type="image/png")
