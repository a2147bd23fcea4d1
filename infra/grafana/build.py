"""The dashboards, in typed builders: cost and budgets, the fleet, one run.

A run's id is no label of lowtide's metrics. The dashboard of one run shows what the GPUs say of its
pods, which are named after it; its money is in its report and in `lowtide jobs show`.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from grafana_foundation_sdk.builders import (
    common,
    dashboard,
    prometheus,
    stat,
    text,
    timeseries,
)
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models import common as common_models
from grafana_foundation_sdk.models.dashboard import DataSourceRef

SOURCE = DataSourceRef(type_val="prometheus", uid="lowtide")
BUDGET = '{budget=~"$budget"}'
POD = '{pod=~"$run.*"}'
USD, SECONDS, PERCENT, SHARE, COUNT = "currencyUSD", "s", "percent", "percentunit", "short"
_HEIGHT, _WIDE, _HALF, _SMALL = 8, 24, 12, 6


def costs() -> dashboard.Dashboard:
    """Return the dashboard of costs and budgets."""
    return (
        _board("Costs and budgets", uid="lowtide-costs")
        .with_variable(_variable("budget", "lowtide_budget_limit_usd", "budget"))
        .with_panel(_stat("Charged", f"sum(lowtide_budget_charged_usd{BUDGET})", unit=USD))
        .with_panel(_stat("Held", f"sum(lowtide_budget_held_usd{BUDGET})", unit=USD))
        .with_panel(
            _stat(
                "Left to hold",
                f"sum(lowtide_budget_limit_usd{BUDGET} - lowtide_budget_forecast_usd{BUDGET})",
                unit=USD,
            )
        )
        .with_panel(_stat("Saved, a counterfactual", "lowtide_saved_usd", unit=USD))
        .with_panel(
            _lines(
                "Charged, held and limit",
                {
                    "{{budget}} charged": f"lowtide_budget_charged_usd{BUDGET}",
                    "{{budget}} charged and held": f"lowtide_budget_forecast_usd{BUDGET}",
                    "{{budget}} limit": f"lowtide_budget_limit_usd{BUDGET}",
                },
                unit=USD,
                span=_WIDE,
            )
        )
        .with_panel(
            _lines(
                "At the end of the period, if the last six hours go on",
                {
                    "{{budget}}": f"lowtide:budget_projected_usd{BUDGET}",
                    "{{budget}} limit": f"lowtide_budget_limit_usd{BUDGET}",
                },
                unit=USD,
            )
        )
        .with_panel(
            _lines(
                "Burn rate: 1 lasts exactly the period; alerts at 14.4 (1 h) and 6 (6 h)",
                {
                    "{{budget}} 5 min": f"lowtide:budget_burn_rate:5m{BUDGET}",
                    "{{budget}} 30 min": f"lowtide:budget_burn_rate:30m{BUDGET}",
                    "{{budget}} 1 h": f"lowtide:budget_burn_rate:1h{BUDGET}",
                    "{{budget}} 6 h": f"lowtide:budget_burn_rate:6h{BUDGET}",
                },
                unit=COUNT,
            )
        )
        .with_panel(
            _lines(
                "Price of a GPU now, an hour",
                {"{{flavor}} {{capacity}} ({{window}})": "lowtide_price_usd_per_hour"},
                unit=USD,
            )
        )
        .with_panel(
            _lines(
                "Forecast error of ended runs",
                {
                    "median": _quantile(0.5, "lowtide_forecast_error_ratio_bucket"),
                    "9 of 10 are below": _quantile(0.9, "lowtide_forecast_error_ratio_bucket"),
                },
                unit=SHARE,
            )
        )
        .with_panel(
            _lines(
                "The gate: held and refused",
                {"{{verdict}}": "sum by (verdict) (increase(lowtide_gate_decisions_total[1h]))"},
                unit=COUNT,
            )
        )
        .with_panel(_lines("Wasted by ended runs", {"wasted": "lowtide_wasted_usd"}, unit=USD))
    )


def fleet() -> dashboard.Dashboard:
    """Return the dashboard of all runs, legs and GPUs."""
    return (
        _board("Fleet", uid="lowtide-fleet")
        .with_panel(
            _stat(
                "Legs running", 'sum(lowtide_legs_open{phase="running"}) or vector(0)', unit=COUNT
            )
        )
        .with_panel(
            _stat(
                "Legs waiting", 'sum(lowtide_legs_open{phase="waiting"}) or vector(0)', unit=COUNT
            )
        )
        .with_panel(_stat("Without an owner", "lowtide_unwatched_seconds", unit=SECONDS))
        .with_panel(_stat("Ledger answers", "lowtide_ledger_up", unit=COUNT))
        .with_panel(
            _lines("Runs by state", {"{{state}}": "sum by (state) (lowtide_runs)"}, unit=COUNT)
        )
        .with_panel(
            _lines(
                "Legs that ended, by cause",
                {"{{cause}}": "sum by (cause) (increase(lowtide_legs_ended_total[1h]))"},
                unit=COUNT,
            )
        )
        .with_panel(
            _lines(
                "Preemptions",
                {"{{flavor}}": "sum by (flavor) (increase(lowtide_preemptions_total[1h]))"},
                unit=COUNT,
            )
        )
        .with_panel(
            _lines(
                "Queue wait",
                {
                    "{{flavor}} median": _quantile(
                        0.5, "lowtide_queue_wait_seconds_bucket", by=("flavor",)
                    ),
                    "{{flavor}} oldest now": "lowtide_queue_wait_oldest_seconds",
                },
                unit=SECONDS,
            )
        )
        .with_panel(
            _lines(
                "Decisions",
                {"{{action}}": "sum by (action) (increase(lowtide_decisions_total[1h]))"},
                unit=COUNT,
            )
        )
        .with_panel(
            _lines(
                "Epochs: median duration",
                {"median": _quantile(0.5, "lowtide_epoch_seconds_bucket")},
                unit=SECONDS,
            )
        )
        .with_panel(
            _lines(
                "GPU utilisation (DCGM), alerts below 5 and above 90",
                {"{{Hostname}} GPU {{gpu}}": "lowtide:gpu_utilization_percent:15m"},
                unit=PERCENT,
            )
        )
        .with_panel(
            _lines(
                "The exporter: its requests, and what a scrape takes",
                {
                    "{{service}} {{outcome}} a minute": (
                        "sum by (service, outcome) (rate(lowtide_api_requests_total[5m])) * 60"
                    ),
                    "a scrape, seconds": "lowtide_scrape_duration_seconds",
                },
                unit=COUNT,
            )
        )
    )


def run() -> dashboard.Dashboard:
    """Return the dashboard of one run's pods."""
    told = (
        "What the GPUs say of one run's pods, by DCGM's `pod` label. Empty without DCGM: unknown is "
        "not idle. Its money, epochs and decisions: `lowtide jobs show RUN`, or its report."
    )
    return (
        _board("One run", uid="lowtide-run")
        .with_variable(_variable("run", "DCGM_FI_DEV_GPU_UTIL", "pod"))
        .with_panel(text.Panel().title("").content(told).height(3).span(_WIDE))
        .with_panel(
            _lines("GPU utilisation", {"{{pod}}": f"DCGM_FI_DEV_GPU_UTIL{POD}"}, unit=PERCENT)
        )
        .with_panel(
            _lines(
                "SMs active (absent on some GPUs)",
                {"{{pod}}": f"DCGM_FI_PROF_SM_ACTIVE{POD}"},
                unit=SHARE,
            )
        )
        .with_panel(
            _lines(
                "GPU memory",
                {
                    "{{pod}} used": f"DCGM_FI_DEV_FB_USED{POD} * 1048576",
                    "{{pod}} free": f"DCGM_FI_DEV_FB_FREE{POD} * 1048576",
                },
                unit="bytes",
            )
        )
        .with_panel(_lines("Power", {"{{pod}}": f"DCGM_FI_DEV_POWER_USAGE{POD}"}, unit="watt"))
    )


DASHBOARDS: Mapping[str, Callable[[], dashboard.Dashboard]] = {
    "costs": costs,
    "fleet": fleet,
    "run": run,
}


def as_json(board: dashboard.Dashboard) -> str:
    """Return a dashboard as the text of its file."""
    return JSONEncoder(sort_keys=True, indent=2).encode(board.build()) + "\n"


def _board(title: str, *, uid: str) -> dashboard.Dashboard:
    return (
        dashboard.Dashboard(title)
        .uid(uid)
        .tags(["lowtide"])
        .refresh("1m")
        .time("now-24h", "now")
        .timezone("browser")
    )


def _variable(name: str, metric: str, label: str) -> dashboard.QueryVariable:
    return (
        dashboard.QueryVariable(name)
        .label(name)
        .query(f"label_values({metric}, {label})")
        .datasource(SOURCE)
        .multi(True)  # noqa: FBT003 - the SDK's builders take flags so
        .include_all(True)  # noqa: FBT003
    )


def _lines(
    title: str, queries: Mapping[str, str], *, unit: str, span: int = _HALF
) -> timeseries.Panel:
    panel = (
        timeseries.Panel()
        .title(title)
        .unit(unit)
        .datasource(SOURCE)
        .height(_HEIGHT)
        .span(span)
        .no_value("unknown")
        .legend(
            common.VizLegendOptions()
            .show_legend(True)  # noqa: FBT003
            .placement(common_models.LegendPlacement.BOTTOM)
            .display_mode(common_models.LegendDisplayMode.LIST)
        )
    )
    for letter, (legend, query) in zip("ABCDEFGH", queries.items(), strict=False):
        panel = panel.with_target(_query(query, letter).legend_format(legend))
    return panel


def _stat(title: str, query: str, *, unit: str) -> stat.Panel:
    return (
        stat.Panel()
        .title(title)
        .unit(unit)
        .datasource(SOURCE)
        .height(4)
        .span(_SMALL)
        .no_value("unknown")
        .with_target(_query(query, "A"))
    )


def _query(expr: str, letter: str) -> prometheus.Dataquery:
    return prometheus.Dataquery().expr(expr).ref_id(letter)


def _quantile(share: float, buckets: str, *, by: Sequence[str] = ()) -> str:
    labels = ", ".join(("le", *by))
    return f"histogram_quantile({share}, sum by ({labels}) ({buckets}))"


def queries_of(document: Mapping[str, Any]) -> list[str]:
    """Return every query of a dashboard's document."""
    found: list[str] = []
    for panel in document.get("panels", []):
        found += [target["expr"] for target in panel.get("targets", []) if "expr" in target]
    return found
