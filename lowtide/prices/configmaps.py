"""The specification's two ConfigMaps, `cost-model` and `scheduling-policies`: text in, text out.

They hold one flavor with two windows. A book that says more can't be told in their keys, so what was
written is read back at once: unless it prices everything as the book does, it is refused.
"""

from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal
from typing import Annotated, Self

from pydantic import Field, StringConstraints, ValidationError, model_validator

from lowtide.documents import Count, Part, explain, refuse
from lowtide.errors import BadInputError
from lowtide.job import Priority
from lowtide.prices.document import (
    CLOCK,
    Currency,
    Factor,
    Rate,
    Share,
    VersionName,
    WindowFactor,
    ZoneName,
)
from lowtide.prices.records import DAY_MIN, Flavor, Multipliers, PriceBook, Rates, Sheet, Window
from lowtide.prices.windows import clock_text

COST_MODEL = "cost-model"
SCHEDULING_POLICIES = "scheduling-policies"

EFFECTIVE_FROM = datetime(2000, 1, 1, tzinfo=UTC)
"""From when on a book without dates is in force."""

_PEAK, _OFF_PEAK = "peak", "off-peak"
_WallTime = Annotated[str, StringConstraints(pattern=f"^({CLOCK.pattern})$")]
_Percent = Annotated[Count, Field(ge=0, le=100)]


class SchedulingPolicies(Part):
    """The rules of the cluster that are no prices; the defaults are the specification's."""

    max_concurrent_jobs: Annotated[Count, Field(ge=1)] = 3
    gpu_utilization_threshold_min: _Percent = 30
    gpu_utilization_threshold_max: _Percent = 90
    gpu_utilization_target: _Percent = 70
    off_peak_start: _WallTime = "22:00"
    off_peak_end: _WallTime = "06:00"
    off_peak_timezone: ZoneName = "UTC"
    default_priority: Priority = Priority.NORMAL
    preemption_enabled: bool = True

    @model_validator(mode="after")
    def _off_peak_has_a_length(self) -> Self:
        if self.off_peak_start in {self.off_peak_end, "24:00"}:
            refuse(
                "the off-peak hours have no length",
                expected="a start before 24:00 and another time as their end",
                got=f"{self.off_peak_start} to {self.off_peak_end}",
            )
        return self


class CostModel(Part):
    """The eleven keys of the ConfigMap `cost-model`."""

    gpu_usd_per_hour: Rate
    cpu_usd_per_core_hour: Rate
    memory_usd_per_gib_hour: Rate
    off_peak_multiplier: WindowFactor
    spot_gpu_usd_per_hour: Rate
    spot_interruption_rate: Share
    priority_multiplier_urgent: Factor
    priority_multiplier_normal: Factor
    priority_multiplier_background: Factor
    currency: Currency
    price_book_version: VersionName


def cost_model_data(book: PriceBook) -> dict[str, str]:
    """Return the data of the ConfigMap `cost-model` for a book's newest version.

    Args:
        book: One flavor, with a fixed spot rate, and the windows `peak` and `off-peak`.

    Returns:
        Eleven keys.

    Raises:
        BadInputError: the book says more than these keys can.
    """
    sheet = book.sheets[-1]
    flavor = sheet.flavors[0]
    on_demand, spot = flavor.on_demand, flavor.spot or flavor.on_demand
    amounts = {
        "gpu_usd_per_hour": on_demand.held_gpu_usd_per_h,
        "cpu_usd_per_core_hour": on_demand.cpu_usd_per_core_h,
        "memory_usd_per_gib_hour": on_demand.memory_usd_per_gib_h,
        "off_peak_multiplier": _off_peak(sheet).multiplier,
        "spot_gpu_usd_per_hour": spot.held_gpu_usd_per_h,
        "spot_interruption_rate": flavor.interruption_rate or Decimal(0),
        "priority_multiplier_urgent": sheet.multipliers.urgent,
        "priority_multiplier_normal": sheet.multipliers.normal,
        "priority_multiplier_background": sheet.multipliers.background,
    }
    data = {
        **{key: f"{amount:f}" for key, amount in amounts.items()},
        "currency": "USD",
        "price_book_version": sheet.version,
    }
    told = book_from_cost_model(data, policies=policies_for(book), flavor=flavor.name)
    if _prices(told.sheets[0]) != _prices(sheet):
        msg = f"version {sheet.version!r} says more than the ConfigMap {COST_MODEL} can"
        raise BadInputError(
            msg,
            where=book.name,
            expected="one flavor with a fixed spot rate and an interruption rate, and two windows, "
            "peak (1) and off-peak, on all days",
            remedy="give the price book as a file instead",
        )
    return data


def book_from_cost_model(
    data: Mapping[str, str],
    *,
    policies: SchedulingPolicies | None = None,
    flavor: str = "t4",
    source: str = COST_MODEL,
) -> PriceBook:
    """Read a price book from the ConfigMap `cost-model`.

    Args:
        data: Its data, eleven keys.
        policies: Says when it is off-peak; None: the specification's hours.
        flavor: Name of the one flavor.
        source: Where the data come from, for messages.

    Returns:
        A book with one version, in force from `EFFECTIVE_FROM` on: a ConfigMap has no date.

    Raises:
        BadInputError: a key is missing, unknown, or not usable.
    """
    try:
        model = CostModel.model_validate(data)
    except ValidationError as error:
        raise explain(error, source=source, schema=None) from None
    on_demand = Rates(
        gpu_usd_per_h=model.gpu_usd_per_hour,
        cpu_usd_per_core_h=model.cpu_usd_per_core_hour,
        memory_usd_per_gib_h=model.memory_usd_per_gib_hour,
    )
    spot = replace(on_demand, gpu_usd_per_h=model.spot_gpu_usd_per_hour, follows_windows=False)
    rules = policies or SchedulingPolicies()
    sheet = Sheet(
        version=model.price_book_version,
        effective_from=EFFECTIVE_FROM,
        zone=rules.off_peak_timezone,
        windows=_windows(rules, off_peak_multiplier=model.off_peak_multiplier),
        flavors=(
            Flavor(
                name=flavor,
                on_demand=on_demand,
                spot=spot,
                interruption_rate=model.spot_interruption_rate,
            ),
        ),
        multipliers=Multipliers(
            urgent=model.priority_multiplier_urgent,
            normal=model.priority_multiplier_normal,
            background=model.priority_multiplier_background,
        ),
        source=source,
    )
    return PriceBook(name=source, sheets=(sheet,))


def scheduling_policies_data(policies: SchedulingPolicies) -> dict[str, str]:
    """Return the data of the ConfigMap `scheduling-policies`.

    Examples:
        >>> data = scheduling_policies_data(SchedulingPolicies())
        >>> data["off_peak_start"], data["preemption_enabled"], len(data)
        ('22:00', 'true', 9)
    """
    values = policies.model_dump(mode="json")
    return {
        key: str(value).lower() if isinstance(value, bool) else str(value)
        for key, value in values.items()
    }


def parse_policies(
    data: Mapping[str, object], *, source: str = SCHEDULING_POLICIES
) -> SchedulingPolicies:
    """Read the cluster's rules, from a ConfigMap's data or from a file's keys.

    Args:
        data: Keys of `SchedulingPolicies`; those left out have the specification's values.
        source: Where the data come from, for messages.

    Returns:
        The rules.

    Raises:
        BadInputError: a key is unknown or not usable.
    """
    try:
        return SchedulingPolicies.model_validate(data)
    except ValidationError as error:
        raise explain(error, source=source, schema=None) from None


def policies_for(
    book: PriceBook, policies: SchedulingPolicies | None = None
) -> SchedulingPolicies:
    """Return the rules with the off-peak hours of the book's newest version.

    The two ConfigMaps tell one tariff together, so the hours come from where the prices do.
    """
    sheet = book.sheets[-1]
    window = _off_peak(sheet)
    hours = {
        "off_peak_start": clock_text(window.start_min),
        "off_peak_end": clock_text(window.end_min),
        "off_peak_timezone": sheet.zone,
    }
    return (policies or SchedulingPolicies()).model_copy(update=hours)


def _off_peak(sheet: Sheet) -> Window:
    return next(
        (window for window in sheet.windows if window.name == _OFF_PEAK), sheet.windows[-1]
    )


def _windows(policies: SchedulingPolicies, *, off_peak_multiplier: Decimal) -> tuple[Window, ...]:
    start_min, end_min = _minute(policies.off_peak_start), _minute(policies.off_peak_end)
    return (
        Window(name=_PEAK, start_min=end_min % DAY_MIN, end_min=start_min or DAY_MIN),
        Window(
            name=_OFF_PEAK,
            start_min=start_min,
            end_min=end_min or DAY_MIN,
            multiplier=off_peak_multiplier,
        ),
    )


def _minute(wall_time: str) -> int:
    hours, minutes = wall_time.split(":")
    return int(hours) * 60 + int(minutes)


def _prices(sheet: Sheet) -> Sheet:
    """Return what matters to prices: neither its dates nor the order of its windows."""
    windows = tuple(sorted(sheet.windows, key=lambda window: window.name))
    return replace(sheet, effective_from=EFFECTIVE_FROM, effective_until=None, windows=windows)
