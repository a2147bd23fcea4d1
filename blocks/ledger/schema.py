"""The tables.

Two things carry the money. `journal` says in one line what happened, on the budget that pays;
`posting` says what that line did to each budget from there to the root, and in which period. Both
are append-only, kept so by triggers. All other amounts (`budget.held`, `balance`, `hold`, `leg`)
are sums over them, stored beside them in the same transaction and checked by `Ledger.check`.
"""

from sqlalchemy import (
    JSON,
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    Float,
    ForeignKey,
    ForeignKeyConstraint,
    Index,
    Integer,
    MetaData,
    Table,
    Text,
    UniqueConstraint,
    text,
)

REVISION = "0003"
"""The newest migration, which makes these tables."""

METADATA = MetaData()
APPEND_ONLY = ("journal", "posting", "event")

# SQLite numbers rows only in a column of exactly the type INTEGER, which has 64 bits there.
_SERIAL = BigInteger().with_variant(Integer(), "sqlite")

RUN = Table(
    "run",
    METADATA,
    Column("run", Text, primary_key=True),
    Column("key", Text, nullable=False, unique=True),
    Column("job", JSON, nullable=False),
    Column("spec_hash", Text, nullable=False),
    Column("name", Text, nullable=False),
    Column("budget", Text, nullable=False),
    Column("priority", Text, nullable=False),
    Column("flavor", Text, nullable=False),
    Column("tags", JSON, nullable=False),
    Column("mlflow_run_id", Text),
    Column("state", Text, nullable=False),
    Column("message", Text, nullable=False),
    Column("created_us", BigInteger, nullable=False),
    Column("changed_us", BigInteger, nullable=False),
    Column("owner", Text),
    Column("fencing", Integer, nullable=False),
    Column("lease_expires_us", BigInteger),
    Index("run_by_age", "created_us"),
    Index("run_by_name", "name", "created_us"),
    Index("run_by_state", "state", "created_us"),
)

LEG = Table(
    "leg",
    METADATA,
    Column("run", Text, ForeignKey("run.run"), primary_key=True),
    Column("leg", Integer, primary_key=True),
    Column("hold", Text, ForeignKey("hold.key"), nullable=False),
    Column("fencing", Integer, nullable=False),
    Column("place", Text, nullable=False),
    Column("flavor", Text, nullable=False),
    Column("capacity", Text, nullable=False),
    Column("price_version", Text, nullable=False),
    Column("limit_s", Float, nullable=False),
    Column("start_by_us", BigInteger, nullable=False),
    Column("opened_us", BigInteger, nullable=False),
    Column("handle", Text),
    Column("started_us", BigInteger),
    Column("ended_us", BigInteger),
    Column("exit_code", Integer),
    Column("ending", Text),
    Column("reason", Text, nullable=False),
    Column("measured", Boolean, nullable=False),
    Column("settled_us", BigInteger),
    Column("metered_until_us", BigInteger),
    Column("charged_micro_usd", BigInteger, nullable=False),
)

EVENT = Table(
    "event",
    METADATA,
    Column("id", _SERIAL, primary_key=True),
    Column("run", Text, ForeignKey("run.run"), nullable=False),
    Column("kind", Text, nullable=False),
    Column("key", Text, nullable=False),
    Column("at_us", BigInteger, nullable=False),
    Column("body", JSON, nullable=False),
    UniqueConstraint("run", "key"),
)

BUDGET = Table(
    "budget",
    METADATA,
    Column("name", Text, primary_key=True),
    Column("parent", Text),
    Column("path", JSON, nullable=False),
    Column("depth", Integer, nullable=False),
    Column("limit_micro_usd", BigInteger, nullable=False),
    Column("period", Text, nullable=False),
    Column("zone", Text, nullable=False),
    Column("mode", Text, nullable=False),
    Column("thresholds", JSON, nullable=False),
    Column("approval_micro_usd_max", BigInteger, nullable=False),
    Column("rollover_micro_usd_max", BigInteger, nullable=False, server_default=text("0")),
    Column("held_micro_usd", BigInteger, nullable=False),
    Column("revision", Integer, nullable=False),
    Column("retired", Boolean, nullable=False),
    CheckConstraint("held_micro_usd >= 0", name="budget_held_is_not_negative"),
)

BALANCE = Table(
    "balance",
    METADATA,
    Column("budget", Text, ForeignKey("budget.name"), primary_key=True),
    Column("period_start_us", BigInteger, primary_key=True),
    Column("period_end_us", BigInteger, nullable=False),
    Column("charged_micro_usd", BigInteger, nullable=False),
    Column("adjusted_micro_usd", BigInteger, nullable=False),
    Column("closed_us", BigInteger),
)

HOLD = Table(
    "hold",
    METADATA,
    Column("key", Text, primary_key=True),
    Column("run", Text, ForeignKey("run.run"), nullable=False),
    Column("budget", Text, nullable=False),
    Column("path", JSON, nullable=False),
    Column("amount_micro_usd", BigInteger, nullable=False),
    Column("charged_micro_usd", BigInteger, nullable=False),
    Column("overdraft_micro_usd", BigInteger, nullable=False),
    Column("released_micro_usd", BigInteger, nullable=False),
    Column("expires_us", BigInteger, nullable=False),
    Column("price_version", Text, nullable=False),
    Column("opened_us", BigInteger, nullable=False),
    Column("ended_us", BigInteger),
    Column("ending", Text),
    CheckConstraint(
        "charged_micro_usd >= 0 AND overdraft_micro_usd >= 0 AND released_micro_usd >= 0"
        " AND charged_micro_usd + released_micro_usd <= amount_micro_usd",
        name="hold_is_never_exceeded",
    ),
    Index("hold_by_run", "run", "opened_us"),
    Index(
        "hold_open",
        "run",
        unique=True,
        sqlite_where=text("ended_us IS NULL"),
        postgresql_where=text("ended_us IS NULL"),
    ),
)

JOURNAL = Table(
    "journal",
    METADATA,
    Column("id", _SERIAL, primary_key=True),
    Column("at_us", BigInteger, nullable=False),
    Column("kind", Text, nullable=False),
    Column("budget", Text, nullable=False),
    Column("run", Text),
    Column("leg", Integer),
    Column("amount_micro_usd", BigInteger, nullable=False),
    Column("price_version", Text),
    Column("tariff_window", Text),
    Column("used_from_us", BigInteger),
    Column("used_to_us", BigInteger),
    Column("actor", Text, nullable=False),
    Column("reason", Text, nullable=False),
    Column("key", Text, nullable=False),
    Column("part", Integer, nullable=False),
    Column("ask", Text),
    Column("measured", Boolean, nullable=False),
    UniqueConstraint("key", "part"),
    # What was spent is asked for by run and by time of use; the indexes alone answer both.
    Index("journal_by_run", "run", "leg", "used_from_us", "amount_micro_usd"),
    Index(
        "journal_of_use",
        "used_from_us",
        "budget",
        "kind",
        "amount_micro_usd",
        "tariff_window",
        sqlite_where=text("used_from_us IS NOT NULL"),
        postgresql_where=text("used_from_us IS NOT NULL"),
    ),
)

POSTING = Table(
    "posting",
    METADATA,
    Column("line", BigInteger, primary_key=True),
    Column("budget", Text, primary_key=True),
    Column("period_start_us", BigInteger, nullable=False),
    Column("held_micro_usd", BigInteger, nullable=False),
    Column("charged_micro_usd", BigInteger, nullable=False),
    Column("adjusted_micro_usd", BigInteger, nullable=False),
    ForeignKeyConstraint(["line"], ["journal.id"]),
    sqlite_with_rowid=False,
)

CROSSING = Table(
    "crossing",
    METADATA,
    Column("budget", Text, ForeignKey("budget.name"), primary_key=True),
    Column("period_start_us", BigInteger, primary_key=True),
    Column("percent", Integer, primary_key=True),
    Column("figure", Text, primary_key=True),
    Column("at_us", BigInteger, nullable=False),
    Column("amount_micro_usd", BigInteger, nullable=False),
    Column("limit_micro_usd", BigInteger, nullable=False),
    Column("told_us", BigInteger),
)

LIFT = Table(
    "lift",
    METADATA,
    Column("run", Text, ForeignKey("run.run"), primary_key=True),
    Column("budget", Text, ForeignKey("budget.name"), primary_key=True),
    Column("amount_micro_usd", BigInteger, nullable=False),
    Column("expires_us", BigInteger, nullable=False),
)
