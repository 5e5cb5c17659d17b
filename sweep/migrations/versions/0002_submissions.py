"""The keys under which sweeps were submitted, each of one sweep.

Revision ID: 0002
"""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    """Adds the key and the hash of the body that came with it; a sweep of before has neither."""
    op.add_column("evenhand_sweeps", sa.Column("idempotency_key", sa.String(255)))
    op.add_column("evenhand_sweeps", sa.Column("request_hash", sa.String(64)))
    op.create_index("ix_evenhand_sweeps_idempotency_key", "evenhand_sweeps", ["idempotency_key"], unique=True)


def downgrade() -> None:
    """Forgets them."""
    op.drop_index("ix_evenhand_sweeps_idempotency_key", "evenhand_sweeps")
    op.drop_column("evenhand_sweeps", "request_hash")
    op.drop_column("evenhand_sweeps", "idempotency_key")
