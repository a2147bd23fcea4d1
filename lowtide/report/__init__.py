"""Reports: where the money went, what it bought, what it would have cost otherwise.

ask = parse_ask("2026-11-01", "2026-11-30", now=now, zone="Europe/Berlin", by="team")
report = shape(ask, facts, cells=cells, ...)        pure: `blocks.costs` reads the books for it
document(report)                                    design §8's shape
"""

from lowtide.report.asked import By, ReportAsk, midnight, parse_ask
from lowtide.report.document import document
from lowtide.report.figures import figures
from lowtide.report.focus import UseLine, focus_row
from lowtide.report.records import (
    Cell,
    CostReport,
    EpochSeen,
    Group,
    LegFigures,
    MonthFigure,
    RunFacts,
    RunFigures,
    Wasted,
    team_of,
)
from lowtide.report.shape import shape

__all__ = [
    "By",
    "Cell",
    "CostReport",
    "EpochSeen",
    "Group",
    "LegFigures",
    "MonthFigure",
    "ReportAsk",
    "RunFacts",
    "RunFigures",
    "UseLine",
    "Wasted",
    "document",
    "figures",
    "focus_row",
    "midnight",
    "parse_ask",
    "shape",
    "team_of",
]
