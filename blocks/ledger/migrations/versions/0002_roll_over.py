"""How much unused money of a period goes to the next one.

Revision ID: 0002
Revises: 0001
"""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    zero = sa.text("0")
    column = sa.Column(
        "rollover_micro_usd_max", sa.BigInteger(), nullable=False, server_default=zero
    )
    op.add_column("budget", column)
