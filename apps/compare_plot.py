"""A comparison as a picture: time against cost, what nothing beats joined by a line.

One HTML file with everything inside, so that it can be mailed and kept: it asks nothing of any
network.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from plotly.graph_objects import Figure, Scatter

from lowtide.compare import Comparison, Row
from lowtide.errors import BadInputError
from lowtide.money import show_usd
from lowtide.words import show_duration

_HOUR_S = 3600


def write_plot(found: Comparison, path: Path) -> None:
    """Write the picture of a comparison.

    Args:
        found: The comparison.
        path: The HTML file to write; one that is there is replaced.

    Raises:
        BadInputError: the file cannot be written, or nothing could be priced.
    """
    figure = plot(found)
    try:
        figure.write_html(path, include_plotlyjs=True, full_html=True)
    except OSError as error:
        msg = f"the plot cannot be written: {error.strerror or error}"
        remedy = "name a file in a folder that exists"
        raise BadInputError(msg, where=str(path), remedy=remedy) from None


def plot(found: Comparison) -> Any:  # noqa: ANN401 - plotly has no types
    """Return the picture of a comparison, a plotly figure.

    Args:
        found: The comparison.

    Raises:
        BadInputError: no configuration has both a time and a cost.
    """
    priced = [row for row in found.rows if row.time_s is not None and row.cost_usd is not None]
    if not priced:
        msg = "no configuration has a time and a price, so there is nothing to draw"
        remedy = "see the reasons in the table"
        raise BadInputError(msg, where="--plot", remedy=remedy)
    front = sorted((row for row in priced if row.pareto), key=_hours)
    others = [row for row in priced if row.feasible and not row.pareto]
    figure: Any = Figure()
    figure.add_trace(_dots(front, name="nothing beats it", mode="lines+markers", symbol="star"))
    figure.add_trace(_dots(others, name="beaten", mode="markers", symbol="circle"))
    refused = [row for row in priced if not row.feasible]
    figure.add_trace(_dots(refused, name="not feasible", mode="markers", symbol="x-thin-open"))
    figure.update_layout(
        title=f"{len(found.rows)} configurations, judged by time, cost and {found.goodness_by}",
        xaxis_title="time, hours (P50)",
        yaxis_title="cost, USD (P50)",
        template="simple_white",
    )
    return figure


def _dots(rows: Sequence[Row], *, name: str, mode: str, symbol: str) -> Any:  # noqa: ANN401 - plotly has no types
    return Scatter(
        x=[_hours(row) for row in rows],
        y=[_usd(row) for row in rows],
        text=[_words(row) for row in rows],
        hoverinfo="text",
        name=name,
        mode=mode,
        marker={"symbol": symbol, "size": 9},
    )


def _hours(row: Row) -> float:
    return row.time_s.p50 / _HOUR_S if row.time_s is not None else 0.0


def _usd(row: Row) -> float:
    return float(row.cost_usd.p50) if row.cost_usd is not None else 0.0


def _words(row: Row) -> str:
    config = ", ".join(f"{key} {value}" for key, value in row.config.document().items())
    parts = [f"{row.index}: {config or 'the job as it is'}"]
    if row.time_s is not None and row.cost_usd is not None:
        parts.append(f"{show_duration(row.time_s.p50)}, {show_usd(row.cost_usd.p50)}")
    if row.metric is not None:
        parts.append(f"metric {row.metric.p50:.4f}")
    if row.reason is not None:
        parts.append(row.reason)
    return "<br>".join(parts)
