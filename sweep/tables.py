"""Our tables, beside Optuna's in the same database; what they hold is said in `store`."""

from sqlalchemy import JSON, Column, DateTime, MetaData, String, Table

METADATA = MetaData()
VERSION_TABLE = "evenhand_version"
"""Alembic's own table here; Optuna uses `alembic_version`."""

SWEEPS = Table(
    "evenhand_sweeps",
    METADATA,
    Column("id", String(32), primary_key=True),
    Column("name", String(120), nullable=False),
    Column("created_at", DateTime, nullable=False, index=True),
    Column("spec", JSON, nullable=False),
    Column("scenarios", JSON, nullable=False),
    Column("dataset", JSON, nullable=False),
    Column("wanted", String(16), nullable=False),
    Column("experiment_id", String(32)),
    Column("ended_at", DateTime, index=True),
    Column("state", String(16)),
    Column("progress", JSON),
    Column("idempotency_key", String(255), index=True, unique=True),
    Column("request_hash", String(64)),
)

LEASES = Table(
    "evenhand_leases",
    METADATA,
    Column("name", String(64), primary_key=True),
    Column("holder", String(200), nullable=False),
    Column("expires_at", DateTime, nullable=False),
)

WORKERS = Table(
    "evenhand_workers",
    METADATA,
    Column("name", String(200), primary_key=True),
    Column("started_at", DateTime, nullable=False),
    Column("beat_at", DateTime, nullable=False),
)
"""A worker's row is its sign of life, renewed by one statement whatever it holds; it goes when the worker leaves."""
