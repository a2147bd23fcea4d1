"""Makes the report on many runs, and shows it in Prefect's UI."""

from blocks.costs import cost_report
from blocks.world import World
from lowtide.errors import LowtideError
from lowtide.prices import PriceBook
from lowtide.report import CostReport, ReportAsk
from lowtide.report.markdown import headline, markdown, rows
from tasks import show
from tasks.effect import effect


@effect(name="report_costs")
def report_costs(world: World, ask: ReportAsk) -> CostReport:
    """Make the report on some days, and show it as a text and as a table.

    Args:
        world: The outside world.
        ask: Which days, by what.

    Returns:
        The report.
    """
    made = cost_report(world.ledger, ask, book=_prices(world), now=world.now(), with_cells=True)
    name = f"costs-by-{ask.by.value}"
    show.markdown(f"{name}-report", title="Costs", text=markdown(made))
    if made.groups:
        show.table(f"{name}-table", title=headline(made), rows=rows(made))
    return made


def _prices(world: World) -> PriceBook | None:
    """Return the price book; None where it is not to be had: money spent needs no price."""
    try:
        return world.prices.book()
    except LowtideError:
        return None
