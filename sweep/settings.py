"""Settings, from the environment (`EVENHAND_…`, and `MLFLOW_TRACKING_URI` as everywhere)."""

from pathlib import Path
from typing import Annotated, Literal

from pydantic import AliasChoices, Field, SecretStr, ValidationInfo, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

MAX_THREADS = 1024
"""More than any machine's processors; beyond it a system may have no more to give."""


class Settings(BaseSettings):
    """What a process of ours needs to know of its surroundings; each field is `EVENHAND_` and its name in capitals."""

    model_config = SettingsConfigDict(env_prefix="EVENHAND_", frozen=True, extra="ignore", hide_input_in_errors=True)

    data_dir: Path = Path("evenhand-data")
    """Folder of the database, the data sets, and of what MLflow keeps."""
    database_url: str = ""
    """SQLAlchemy address of the database, SQLite or PostgreSQL; default: SQLite in the data folder."""
    mlflow_tracking_uri: str = Field(
        "http://127.0.0.1:5000", validation_alias=AliasChoices("MLFLOW_TRACKING_URI", "mlflow_tracking_uri")
    )
    """Where the processes reach MLflow."""
    mlflow_public_url: str = ""
    """Where people's browsers reach MLflow, for links; default: the tracking address."""
    allowed_hosts: str = "127.0.0.1,localhost,[::1]"
    """Names by which the API may be asked, separated by commas (`*`: any); others are refused, so that no web page
    can reach it under a name of its own."""
    api_keys: SecretStr = SecretStr("")
    """Keys, separated by commas, one of which every request to the API must then bear; default: none is needed."""
    heartbeat_interval_s: int = Field(5, ge=1)
    """Seconds between a worker's signs of life."""
    heartbeat_grace_s: int = Field(60, ge=2)
    """A running trial without a heartbeat for so long is lost, and its slot is queued again; two intervals at least."""
    max_retry: int = Field(3, ge=0)
    """How many lost attempts of one slot are replaced."""
    drain_timeout_s: float = Field(4.0, ge=0)
    """Seconds that a worker that is asked to leave has for the epoch at hand and its checkpoints."""
    threads: int = Field(1, ge=1, le=MAX_THREADS)
    """CPU threads of a worker; part of the numbers, since sums over several threads differ in their last bits."""
    width: Annotated[int, Field(ge=1)] | Literal["auto"] = "auto"
    """Trials that a worker trains at once, stacked where the model can be; auto: as many as measured quickest."""
    gpu: int = Field(0, ge=0)
    """Which of the GPUs that a worker can see it takes, counted round."""
    cuda_graphs: bool = False
    """Whether steps on a GPU are recorded and replayed."""
    disk_floor_mb: int = Field(500, ge=0)
    """Megabytes of free disk below which no sweep is taken and no trial is begun."""
    checkpoint_s: int = Field(60, ge=0)
    """Seconds of training after which a trial is checkpointed, at the end of the epoch at hand, and again."""
    stall_s: int = Field(900, ge=1)
    """Seconds that a step of the training may take; then its worker counts as hanging, and ends itself."""
    curve_points: int = Field(12, ge=2)
    """Of how many epochs, at most, a trial's curves by class are in MLflow; its epochs.parquet has them all."""
    log_json: bool = False
    """Logs as JSON lines instead of coloured text."""

    @field_validator("database_url")
    @classmethod
    def _is_known(cls, url: str) -> str:
        if url and not url.startswith(("sqlite://", "postgresql://", "postgresql+psycopg://")):
            raise ValueError("expected sqlite:///PATH or postgresql+psycopg://USER@HOST:PORT/NAME")
        return url

    @field_validator("heartbeat_grace_s")
    @classmethod
    def _outlasts_two_beats(cls, grace_s: int, info: ValidationInfo) -> int:
        interval_s = info.data.get("heartbeat_interval_s", 0)
        if grace_s < 2 * interval_s:
            raise ValueError(
                f"{grace_s} is less than two intervals of EVENHAND_HEARTBEAT_INTERVAL_S={interval_s}, so that living"
                f" workers would count as lost: set EVENHAND_HEARTBEAT_GRACE_S to {2 * interval_s} or more, or the"
                f" interval to {grace_s // 2} or less"
            )
        return grace_s

    @property
    def database(self) -> str:
        """The database's address, with the default filled in."""
        return self.database_url or f"sqlite:///{(self.data_dir / 'evenhand.db').resolve()}"

    @property
    def keys(self) -> tuple[str, ...]:
        """The API's keys; empty where none is needed."""
        return tuple(key for key in map(str.strip, self.api_keys.get_secret_value().split(",")) if key)

    @property
    def mlflow_url(self) -> str:
        """Where a person opens MLflow, without a slash at the end."""
        return (self.mlflow_public_url or self.mlflow_tracking_uri).rstrip("/")

    @property
    def mlflow_environment(self) -> dict[str, str]:
        """What MLflow's client and server read from the environment: patience is ours, and nothing calls home."""
        return {
            "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "0",
            "MLFLOW_HTTP_REQUEST_TIMEOUT": "20",
            "MLFLOW_DISABLE_TELEMETRY": "true",
            "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
            "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
            "MLFLOW_ENABLE_AI_GATEWAY": "false",
            "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
        }
