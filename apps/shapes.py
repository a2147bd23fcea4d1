"""The shapes of the documents that tools answer with, as design §8 has them, for JSON Schema.

Nothing is built from these: the documents come from what they describe, and the tests hold every
real one against its shape.
"""

from typing import Any, Literal

from pydantic import TypeAdapter
from typing_extensions import TypedDict


class UsdSpread(TypedDict):
    """An amount with its doubt: US dollars as text, six places."""

    p10: str
    p50: str
    p90: str


class Spread(TypedDict):
    """A number with its doubt."""

    p10: float
    p50: float
    p90: float


class Moments(TypedDict):
    """A moment with its doubt, RFC 3339."""

    p10: str
    p50: str
    p90: str


class Document(TypedDict):
    """What every document begins with."""

    schema: str
    generated_at: str


class OptionShape(TypedDict):
    """Another way to run a job, priced."""

    rank: int
    kind: str
    flavor: str
    capacity: str
    start: str
    finish: Moments
    cost_usd: UsdSpread
    hold_usd: str
    saves_usd: str
    meets_deadline: bool | None
    fits_budget: bool
    why: str
    change: dict[str, Any]


class CheckDocument(Document):
    """Does it fit, and what would."""

    feasible: bool
    budget_usd: str
    epochs: int
    batch_size: int
    forecast_usd: UsdSpread
    over_usd: str
    hold_usd: str
    utilisation_pct: float
    calibrated: bool
    based_on: str
    reason: str
    finish: Moments
    options: list[OptionShape]


class MetricShape(TypedDict):
    """The best value of the job's metric to expect at the end."""

    name: str
    p10: float
    p50: float
    p90: float
    based_on: Literal["curve", "best-so-far"]


class ForecastDocument(Document):
    """What is left of a run, or what more epochs of a job take."""

    run: str | None
    epochs_done: int
    epochs_remaining: int
    time_remaining_s: Spread
    cost_usd: UsdSpread
    calibrated: bool
    based_on: str
    explanation: str
    breach_probability: float | None
    breach_reason: str | None
    metric: MetricShape | None
    metric_reason: str | None


class RecommendationShape(TypedDict):
    """One change for the next run."""

    kind: str
    description: str
    saving_usd: UsdSpread
    saving_pct: float
    confidence: Literal["high", "medium", "low"]
    confidence_reason: str
    evidence: dict[str, Any]
    risk: str
    action: str


class RecommendDocument(Document):
    """What would have made a run cheaper."""

    run: str
    cost_usd: str
    recommendations: list[RecommendationShape]
    combined_saving_usd: UsdSpread
    notes: list[str]


class ConfigShape(TypedDict):
    """One configuration."""

    index: int
    config: dict[str, Any]
    time_s: Spread | None
    cost_usd: UsdSpread | None
    metric: Spread | None
    pareto: bool
    feasible: bool
    reason: str | None


class CompareDocument(Document):
    """Configurations of a job, side by side."""

    configs: list[ConfigShape]
    goodness_by: Literal["metric", "epochs"]


class WastedShape(TypedDict):
    """What was paid for nothing."""

    failed_usd: str
    lost_usd: str
    idle_usd: str | None
    idle_reason: str | None


class FiguresShape(TypedDict):
    """The sums of some runs; None where a figure belongs to none of them."""

    runs: int | None
    held_usd: str | None
    charged_usd: str
    forecast_usd: str | None
    forecast_runs: int
    saved_usd: str | None
    saved_runs: int
    wasted_usd: str | None
    waited_s: float | None
    used_s: float | None


class GroupShape(FiguresShape):
    """The runs that have one thing in common."""

    key: dict[str, str]
    reason: str | None


class TotalsShape(FiguresShape):
    """All runs, beside as many days before."""

    wasted: WastedShape
    before_usd: str
    change_pct: float | None


class RunShape(TypedDict):
    """One run of a report."""

    run: str
    job: str
    state: str
    created_at: str
    duration_s: float | None
    waited_s: float | None
    charged_usd: str
    metric: float | None
    team: str
    project: str
    budget: str
    priority: str
    flavor: str
    legs: int
    held_usd: str
    total_usd: str
    forecast_usd: str | None
    saved_usd: str | None
    wasted: WastedShape


class AveragesShape(TypedDict):
    """One run on average."""

    runs: int
    charged_usd: str | None
    duration_s: float | None
    waited_s: float | None
    reason: str | None


class MonthShape(TypedDict):
    """A month of the trend."""

    month: str
    runs: int
    charged_usd: str
    change_pct: float | None
    complete: bool


_Bounds = TypedDict("_Bounds", {"from": str, "to": str})


class ReportDocument(Document, _Bounds):
    """Where the money went."""

    zone: str
    by: str
    budget: str | None
    reason: str | None
    groups: list[GroupShape]
    runs: list[RunShape]
    runs_left_out: int
    totals: TotalsShape
    averages: AveragesShape
    months: list[MonthShape]
    saved_is: str


class ResourceShape(TypedDict):
    """One resource, as the tightest quota has it."""

    name: str
    capacity: float
    used: float
    free: float
    queued: float
    pool: str


class WayOutShape(TypedDict):
    """How more of the jobs could run, or all of them in the end."""

    kind: str
    description: str
    cost_usd: UsdSpread | None
    finish: Moments | None


class QuotaAnswerShape(TypedDict):
    """How many of the jobs run at once."""

    asked: int
    now: int
    waiting: int
    short: str | None
    cost_usd: UsdSpread
    now_cost_usd: UsdSpread
    finish: Moments | None
    finish_reason: str | None
    ways_out: list[WayOutShape]


class QuotaDocument(Document):
    """What is free, and what of some jobs would run."""

    resources: list[ResourceShape]
    based_on: str
    answer: QuotaAnswerShape | None
    reason: str | None


class TrainDocument(Document):
    """A training that was handed over to the worker."""

    run: str
    flow_run_id: str
    state: str


def schema_of_shape(shape: type) -> dict[str, Any]:
    """Return the JSON Schema of a shape; it knows all keys of each object."""
    schema = TypeAdapter(shape).json_schema()
    for part in (schema, *schema.get("$defs", {}).values()):
        if "properties" in part:
            part["additionalProperties"] = False
            fields = part["properties"]
            part["properties"] = {name: _short(field) for name, field in fields.items()}
    return schema


def _short(field: dict[str, Any]) -> dict[str, Any]:
    """Name the types of a field at once: shorter to read, and clients check it in half the time."""
    either = field.get("anyOf", [])
    if not either or any(each.keys() != {"type"} for each in either):
        return field
    others = {key: value for key, value in field.items() if key != "anyOf"}
    return {**others, "type": [each["type"] for each in either]}
