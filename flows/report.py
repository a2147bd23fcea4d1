"""The report flow: what the last days cost, shown where flows are watched."""

from contextlib import closing
from typing import Any

from prefect import flow

from blocks.settings import Settings
from blocks.world import World, open_world
from lowtide.report import By, document, parse_ask
from tasks.costs import report_costs


@flow(name="report", flow_run_name="costs by {by}", persist_result=False)
def report(
    start_date: str | None = None,
    end_date: str | None = None,
    *,
    by: str = By.TEAM.value,
    zone: str = "UTC",
    budget: str | None = None,
    world: World | None = None,
) -> dict[str, Any]:
    """Report what was charged, held, forecast, saved and wasted.

    Args:
        start_date: First day, as 2026-11-01; None: thirty days up to the last.
        end_date: Last day, included; None: today.
        by: What to group by: team, project, budget, priority, flavor, window, day or job.
        zone: IANA name of the time zone in whose calendar days begin.
        budget: Only this budget and those below it; None: all.
        world: The outside world; None: the one that the settings describe.

    Returns:
        The report as a document.

    Raises:
        BadInputError: half a date, dates reversed, no such zone, budget or grouping.
    """
    with closing(world or open_world(Settings())) as opened:
        ask = parse_ask(start_date, end_date, now=opened.now(), zone=zone, by=by, budget=budget)
        return document(report_costs(opened, ask))
