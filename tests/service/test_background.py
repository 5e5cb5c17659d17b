"""What an API does after it has answered, with MLflow away: it raises nothing, and is left to the next look."""

import asyncio
import threading
from pathlib import Path

import httpx

from service.app import create_app
from sweep.parts import Parts
from sweep.settings import Settings

BODY = {"dataset": "toy2d", "imbalance": {"profile": "exponential", "ratios": [5], "n_max": 60}, "alpha": 0.1}
NOBODY = "http://127.0.0.1:9"


def test_with_mlflow_away_a_sweep_is_cancelled_and_stays_open(tmp_path: Path) -> None:
    settings = Settings(data_dir=tmp_path, database_url="", MLFLOW_TRACKING_URI=NOBODY)
    app = create_app(settings)
    app.state.parts = parts = Parts.connect(settings, holder="api", stop=threading.Event())

    async def submit_and_cancel() -> httpx.Response:
        transport = httpx.ASGITransport(app)  # raises what the application raises, after its answer too
        async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1") as client:
            place = (await client.post("/v1/sweeps", json=BODY)).headers["Location"]
            await client.post(f"{place}/cancel")
            return await client.get(place)

    sweep = asyncio.run(submit_and_cancel()).json()
    assert (sweep["wanted"], sweep["ended_at"], sweep["progress"]["cancelled"]) == ("cancel", None, 1)
    parts.studies.close()
    parts.store._engine.dispose()
