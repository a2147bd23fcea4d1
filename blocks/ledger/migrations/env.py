"""Alembic's entry: runs the migrations on the connection that `blocks.ledger.migrate` opened."""

# ruff: noqa: INP001 - Alembic loads it by file
from alembic import context

from blocks.ledger.schema import METADATA

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=METADATA,
    transaction_per_migration=False,
)
with context.begin_transaction():
    context.run_migrations()
