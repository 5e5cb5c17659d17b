"""Settings: their names in the environment, their defaults and bounds."""

from pathlib import Path

import pytest
from pydantic import SecretStr, ValidationError

from sweep.settings import Settings

NAMES = {
    "EVENHAND_DATA_DIR": "there", "EVENHAND_DATABASE_URL": "postgresql://host/x", "MLFLOW_TRACKING_URI": "http://m:1/",
    "EVENHAND_MLFLOW_PUBLIC_URL": "https://people/mlflow/", "EVENHAND_HEARTBEAT_INTERVAL_S": "3",
    "EVENHAND_HEARTBEAT_GRACE_S": "9", "EVENHAND_MAX_RETRY": "0", "EVENHAND_DRAIN_TIMEOUT_S": "0.5",
    "EVENHAND_THREADS": "2", "EVENHAND_WIDTH": "4", "EVENHAND_LOG_JSON": "true", "EVENHAND_ALLOWED_HOSTS": "*",
    "EVENHAND_CUDA_GRAPHS": "true", "EVENHAND_GPU": "1", "EVENHAND_API_KEYS": "a,b", "EVENHAND_CHECKPOINT_S": "7",
    "EVENHAND_STALL_S": "8",
    "EVENHAND_CURVE_POINTS": "5", "EVENHAND_DISK_FLOOR_MB": "9",
}  # fmt: skip


@pytest.fixture(autouse=True)
def bare(monkeypatch: pytest.MonkeyPatch) -> None:
    """No setting in the environment."""
    for name in NAMES:
        monkeypatch.delenv(name, raising=False)


def test_without_an_environment_everything_is_in_one_folder_on_one_machine(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    settings = Settings()
    assert settings.data_dir == Path("evenhand-data")
    assert settings.database == f"sqlite:///{tmp_path.resolve()}/evenhand-data/evenhand.db"
    assert settings.mlflow_tracking_uri == settings.mlflow_url == "http://127.0.0.1:5000"
    assert (settings.heartbeat_interval_s, settings.heartbeat_grace_s, settings.max_retry) == (5, 60, 3)
    assert (settings.drain_timeout_s, settings.threads, settings.width, settings.log_json) == (4.0, 1, "auto", False)


def test_every_setting_is_read_from_the_environment_by_its_name(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in NAMES.items():
        monkeypatch.setenv(name, value)
    assert Settings().model_dump() == {
        "data_dir": Path("there"), "database_url": "postgresql://host/x", "mlflow_tracking_uri": "http://m:1/",
        "mlflow_public_url": "https://people/mlflow/", "heartbeat_interval_s": 3, "heartbeat_grace_s": 9,
        "allowed_hosts": "*", "max_retry": 0, "drain_timeout_s": 0.5, "threads": 2, "width": 4, "log_json": True,
        "cuda_graphs": True, "gpu": 1, "api_keys": SecretStr("a,b"), "checkpoint_s": 7, "stall_s": 8, "curve_points": 5,
        "disk_floor_mb": 9,
    }  # fmt: skip
    assert Settings().database == "postgresql://host/x"
    assert Settings().mlflow_url == "https://people/mlflow"


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("EVENHAND_WIDTH", "0"), ("EVENHAND_THREADS", "0"), ("EVENHAND_HEARTBEAT_INTERVAL_S", "0"),
        ("EVENHAND_MAX_RETRY", "-1"), ("EVENHAND_DRAIN_TIMEOUT_S", "-1"), ("EVENHAND_WIDTH", "many"),
        ("EVENHAND_THREADS", "1025"), ("EVENHAND_WIDTH", ""), ("EVENHAND_DATABASE_URL", "postgres://ann:secret@host/x"),
    ],
)  # fmt: skip
def test_settings_that_cannot_be_are_refused(name: str, value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(ValidationError) as refusal:
        Settings()
    assert "secret" not in str(refusal.value)


@pytest.mark.parametrize(
    ("interval", "grace", "limits"),
    [("60", "30", ("120", "15")), ("40", None, ("80", "30")), (None, "9", ("10", "4"))],
)
def test_a_grace_that_a_living_worker_may_miss_is_refused_with_the_remedy(
    interval: str | None, grace: str | None, limits: tuple[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in (("EVENHAND_HEARTBEAT_INTERVAL_S", interval), ("EVENHAND_HEARTBEAT_GRACE_S", grace)):
        if value is not None:
            monkeypatch.setenv(name, value)
    remedy = "set EVENHAND_HEARTBEAT_GRACE_S to {} or more, or the interval to {} or less".format(*limits)
    with pytest.raises(
        ValidationError, match=f"EVENHAND_HEARTBEAT_INTERVAL_S={interval or 5}, .*: {remedy}"
    ) as refusal:
        Settings()
    assert refusal.value.errors()[0]["loc"] == ("heartbeat_grace_s",)


def test_mlflows_client_leaves_patience_to_us_and_nothing_calls_home() -> None:
    environment = Settings().mlflow_environment
    assert environment["MLFLOW_HTTP_REQUEST_MAX_RETRIES"] == "0"
    assert environment["MLFLOW_DISABLE_TELEMETRY"] == "true"
    assert environment["MLFLOW_SERVER_ENABLE_JOB_EXECUTION"] == "false"
