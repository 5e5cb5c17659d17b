"""Routes of a sweep's trials and their trajectories."""

import io
from typing import Annotated

import pandas as pd
from fastapi import APIRouter, Header, Query, Response
from fastapi.responses import JSONResponse

from sweep.errors import NotFound
from sweep.slots import Slot
from sweep.store import Sweep

from .context import PartsOf, SettingsOf
from .views import TrialList, TrialView, trial_view

router = APIRouter(prefix="/v1/sweeps/{sweep_id}/trials", tags=["trials"])
_PARQUET = "application/vnd.apache.parquet"


@router.get("")
def list_trials(
    sweep_id: str,
    parts: PartsOf,
    settings: SettingsOf,
    limit: Annotated[int, Query(ge=1, le=10_000)] = 1_000,
    cursor: Annotated[int, Query(ge=0)] = 0,
) -> TrialList:
    """Lists the trials by number, from `cursor` on."""
    sweep = parts.store.get(sweep_id)
    slots = parts.studies.slots(sweep)[cursor:]
    return TrialList(
        items=[trial_view(sweep, slot, settings) for slot in slots[:limit]],
        next_cursor=str(cursor + limit) if len(slots) > limit else None,
    )


@router.get("/{number}")
def show(sweep_id: str, number: int, parts: PartsOf, settings: SettingsOf) -> TrialView:
    """One trial with its attempts and its replicates."""
    sweep, slot = _find(sweep_id, number, parts)
    return trial_view(sweep, slot, settings)


@router.get("/{number}/importance", responses={200: {"content": {"text/csv": {}, _PARQUET: {}}}})
def importance(
    sweep_id: str, number: int, parts: PartsOf, accept: Annotated[str, Header()] = "application/json"
) -> Response:
    """The importance of every class after every step, a row a step and replicate: JSON, CSV or Parquet by Accept."""
    sweep, slot = _find(sweep_id, number, parts)
    if "alpha" not in slot.params:
        raise NotFound(f"Trial {number} was trained with {slot.plan.loss.name}, which has no importance.")
    if slot.last is None or slot.last.run_id is None or slot.state in ("waiting", "running"):
        raise NotFound(f"Trial {number} is {slot.state}; its trajectory is kept when it has ended.")
    table = parts.tracking.trajectory(slot.last.run_id)
    if "text/csv" in accept:
        return Response(table.to_csv(index=False), media_type="text/csv")
    if "parquet" in accept:
        buffer = io.BytesIO()
        table.to_parquet(buffer, index=False)
        return Response(buffer.getvalue(), media_type=_PARQUET)
    return JSONResponse({"trial": number, "alpha": slot.params["alpha"], **_by_replicate(table, sweep)})


def _find(sweep_id: str, number: int, parts: PartsOf) -> tuple[Sweep, Slot]:
    sweep = parts.store.get(sweep_id)
    slots = parts.studies.slots(sweep)
    if not 0 <= number < len(slots):
        raise NotFound(f"Sweep {sweep_id} has no trial {number}. Its trials are 0 to {len(slots) - 1}.")
    return sweep, slots[number]


def _by_replicate(table: pd.DataFrame, sweep: Sweep) -> dict[str, object]:
    columns = [column for column in table.columns if column.startswith("importance/")]
    return {
        "classes": list(sweep.dataset.classes),
        "replicates": [
            {
                "seed": int(rows["seed"].iloc[0]),
                "epoch": rows["epoch"].tolist(),
                "step": rows["step"].tolist(),
                "importance": rows[columns].astype(float).values.tolist(),
            }
            for _, rows in table.groupby("replicate")
        ],
    }
