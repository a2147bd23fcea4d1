"""`lowtide budget`: set a tree of budgets, show them, adjust one, close a period, read the journal."""

from datetime import datetime
from pathlib import Path
from typing import Annotated

import typer

from apps.cli.options import Json


def register(app: typer.Typer) -> None:
    """Add the commands."""
    group = typer.Typer(help="Set, show and adjust budgets; read the journal.")
    group.command("set")(set_)
    group.command()(show)
    # A negative amount is no option.
    group.command(context_settings={"ignore_unknown_options": True})(adjust)
    group.command()(close)
    group.command()(journal)
    app.add_typer(group, name="budget")


def set_(
    file: Annotated[Path, typer.Option("--file", "-f", help="A YAML list of budgets.")],
    *,
    actor: Annotated[str, typer.Option(help="Who sets them.")] = "command line",
    reason: Annotated[str, typer.Option(help="Why.")] = "budget set",
    json: Json = False,
) -> None:
    """Apply a tree of budgets, all of it or nothing."""
    from datetime import UTC

    from apps.books import open_ledger
    from apps.files import read_yaml
    from apps.output import emit
    from blocks.settings import Settings
    from lowtide.ledger.budgets import parse_budgets

    tree = parse_budgets(read_yaml(file), source=str(file))
    ledger = open_ledger(Settings())
    changed = ledger.set_budgets(tree, actor=actor, reason=reason, now=datetime.now(UTC))
    if json:
        emit("budget-set", {"changed": list(changed)})
    else:
        print(f"changed: {', '.join(changed)}" if changed else "nothing to change")


def show(
    name: Annotated[str | None, typer.Argument(help="One budget; default: all.")] = None,
    *,
    json: Json = False,
) -> None:
    """Show limits, holds and charges of the current period."""
    from rich.console import Console
    from rich.table import Table

    from apps.books import budget_states
    from apps.output import emit
    from lowtide.money import show_usd

    states = budget_states(name)
    if json:
        emit("budget-show", {"budgets": [state.document() for state in states]})
        return
    table = Table("budget", "mode", "period", "limit", "charged", "held", "available")
    for state in states:
        money = (state.limit_usd, state.charged_usd, state.held_usd, state.available_usd)
        table.add_row(
            state.name, state.mode.value, state.kind.value, *(show_usd(usd) for usd in money)
        )
    Console().print(table)


def adjust(
    name: Annotated[str, typer.Argument(help="The budget.")],
    usd: Annotated[str, typer.Argument(help="How much more (or, negative, less), US dollars.")],
    *,
    reason: Annotated[str, typer.Option(help="Why; it is kept in the journal.")],
    actor: Annotated[str, typer.Option(help="Who.")] = "command line",
    key: Annotated[
        str | None, typer.Option(help="Your own name for this; the same key twice is once.")
    ] = None,
    json: Json = False,
) -> None:
    """Change this period's limit of one budget, by an amount, with a reason."""
    from datetime import UTC
    from uuid import uuid4
    from zoneinfo import ZoneInfo

    from apps.books import open_ledger
    from apps.output import emit
    from blocks.settings import Settings
    from lowtide.money import read_usd, show_usd

    state = open_ledger(Settings()).adjust(
        key=key or f"adjust:{uuid4()}",
        budget=name,
        amount_usd=read_usd(usd, where="amount"),
        actor=actor,
        reason=reason,
        now=datetime.now(UTC),
    )
    if json:
        emit("budget-show", {"budgets": [state.document()]})
    else:
        ends = state.period.end.astimezone(ZoneInfo(state.zone))
        until = f"until {ends:%Y-%m-%d %H:%M} {state.zone}"
        print(f"{state.name}: limit {show_usd(state.limit_usd)} {until}")


def close(
    name: Annotated[str, typer.Argument(help="The budget.")],
    *,
    at: Annotated[
        datetime | None,
        typer.Option(formats=["%Y-%m-%d"], help="A day in the period; default: the last period."),
    ] = None,
    reason: Annotated[str, typer.Option(help="Why; it is kept in the journal.")],
    actor: Annotated[str, typer.Option(help="Who.")] = "command line",
    json: Json = False,
) -> None:
    """Close a past period: later charges for it count in the current one; unused money rolls over."""
    from datetime import UTC, timedelta
    from zoneinfo import ZoneInfo

    from apps.books import budget_states, open_ledger
    from apps.output import emit
    from blocks.settings import Settings
    from lowtide.money import show_usd

    (state,) = budget_states(name)
    zone = ZoneInfo(state.zone)
    moment = state.period.start - timedelta(seconds=1) if at is None else at.replace(tzinfo=zone)
    closed = open_ledger(Settings()).close_period(
        budget=name, at=moment, actor=actor, reason=reason, now=datetime.now(UTC)
    )
    if json:
        emit("budget-show", {"budgets": [closed.document()]})
        return
    days = f"{closed.period.start.astimezone(zone):%Y-%m-%d} to before "
    days += f"{closed.period.end.astimezone(zone):%Y-%m-%d}"
    print(f"{name}: closed {days}, charged {show_usd(closed.charged_usd)}")


def journal(
    *,
    budget: Annotated[str | None, typer.Option(help="Only this budget and those below.")] = None,
    run: Annotated[str | None, typer.Option(help="Only this run.")] = None,
    limit: Annotated[int, typer.Option(min=1, max=100_000, help="At most so many lines.")] = 100,
    json: Json = False,
) -> None:
    """Read the journal, the newest lines last."""
    from rich.console import Console
    from rich.table import Table

    from apps.books import open_ledger
    from apps.output import emit
    from blocks.settings import Settings

    lines = open_ledger(Settings()).journal(budget=budget, run=run, limit=limit)
    if json:
        emit("budget-journal", {"lines": [line.document() for line in lines]})
        return
    table = Table("id", "at", "kind", "budget", "run", "USD", "reason")
    for line in lines:
        at = f"{line.at:%Y-%m-%d %H:%M:%S}"
        amount = f"{line.amount_usd:+}"
        table.add_row(
            str(line.id), at, line.kind.value, line.budget, line.run or "", amount, line.reason
        )
    Console().print(table if lines else "no lines")
