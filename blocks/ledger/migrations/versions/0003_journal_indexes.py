"""Let the two indexes of the journal answer reports by themselves, without its rows.

Revision ID: 0003
Revises: 0002
"""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    used = sa.text("used_from_us IS NOT NULL")
    op.drop_index("journal_by_run", "journal")
    op.create_index(
        "journal_by_run", "journal", ["run", "leg", "used_from_us", "amount_micro_usd"]
    )
    op.drop_index("journal_of_use", "journal")
    op.create_index(
        "journal_of_use",
        "journal",
        ["used_from_us", "budget", "kind", "amount_micro_usd", "tariff_window"],
        sqlite_where=used,
        postgresql_where=used,
    )
