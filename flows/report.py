"""The report flow: what the last days cost, shown where flows are watched."""

from contextlib import closing
from typing import Any

from prefect import flow
from prefect.runtime import flow_run
from pydantic import Field

from blocks.settings import Settings
from blocks.world import World, open_world
from flows.form import asked_in_a_form
from lowtide.documents import Part
from lowtide.report import By, document, parse_ask
from tasks.costs import report_costs


class CostsAsk(Part):
    """Which money is reported, as a person or a schedule asks."""

    start_date: str | None = Field(
        default=None,
        title="From",
        description="First day, as 2026-11-01; empty: thirty days up to the last.",
    )
    end_date: str | None = Field(
        default=None, title="To", description="Last day, included; empty: today."
    )
    by: By = Field(default=By.TEAM, title="By", description="What the money is grouped by.")
    zone: str = Field(
        default="UTC",
        title="Zone",
        description="IANA name of the time zone in whose calendar days begin.",
    )
    budget: str | None = Field(
        default=None,
        title="Budget",
        description="Only this budget and those below it; empty: all.",
    )


def _name() -> str:
    ask: Any = flow_run.parameters["ask"]
    return f"costs by {CostsAsk.model_validate(ask).by.value}"


_AS_USUAL = CostsAsk()


@asked_in_a_form
@flow(name="report", flow_run_name=_name, persist_result=False)
def report(ask: CostsAsk = _AS_USUAL, world: World | None = None) -> dict[str, Any]:
    """Report what was charged, held, forecast, saved and wasted.

    Args:
        ask: Which days, in whose calendar, by what, of which budget.
        world: The outside world; None: the one that the settings describe.

    Returns:
        The report as a document.

    Raises:
        BadInputError: half a date, dates reversed, no such zone, budget or grouping.
    """
    with closing(world or open_world(Settings())) as opened:
        asked = parse_ask(
            ask.start_date,
            ask.end_date,
            now=opened.now(),
            zone=ask.zone,
            by=ask.by.value,
            budget=ask.budget,
        )
        return document(report_costs(opened, asked))
