"""Sweeps, leases and workers.

Revision ID: 0001
"""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None


def upgrade() -> None:
    """Creates the tables."""
    op.create_table(
        "evenhand_sweeps",
        sa.Column("id", sa.String(32), primary_key=True),
        sa.Column("name", sa.String(120), nullable=False),
        sa.Column("created_at", sa.DateTime, nullable=False, index=True),
        sa.Column("spec", sa.JSON, nullable=False),
        sa.Column("scenarios", sa.JSON, nullable=False),
        sa.Column("dataset", sa.JSON, nullable=False),
        sa.Column("wanted", sa.String(16), nullable=False),
        sa.Column("experiment_id", sa.String(32)),
        sa.Column("ended_at", sa.DateTime, index=True),
        sa.Column("state", sa.String(16)),
        sa.Column("progress", sa.JSON),
    )
    op.create_table(
        "evenhand_leases",
        sa.Column("name", sa.String(64), primary_key=True),
        sa.Column("holder", sa.String(200), nullable=False),
        sa.Column("expires_at", sa.DateTime, nullable=False),
    )
    op.create_table(
        "evenhand_workers",
        sa.Column("name", sa.String(200), primary_key=True),
        sa.Column("started_at", sa.DateTime, nullable=False),
        sa.Column("beat_at", sa.DateTime, nullable=False),
    )


def downgrade() -> None:
    """Drops the tables."""
    op.drop_table("evenhand_workers")
    op.drop_table("evenhand_leases")
    op.drop_table("evenhand_sweeps")
