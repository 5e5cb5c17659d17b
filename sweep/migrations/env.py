"""Runs the migrations on the connection that `database.migrate` hands over."""

from alembic import context

from sweep.tables import METADATA, VERSION_TABLE

context.configure(
    connection=context.config.attributes["connection"], target_metadata=METADATA, version_table=VERSION_TABLE
)
with context.begin_transaction():
    context.run_migrations()
