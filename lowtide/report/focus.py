"""Journal lines as rows of FOCUS 1.4, Cost and Usage: one row for each line, so sums are exact.

A line that corrects an earlier one is a row of its own, of class Correction, never a change of the
earlier row. NULL is an empty field; nothing unknown is written as 0.

Source: FinOps Open Cost and Usage Specification, version 1.4, dataset Cost and Usage.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from enum import StrEnum
from types import MappingProxyType

from lowtide.ledger.periods import PeriodKind, period_of
from lowtide.ledger.records import JournalLine, LineKind
from lowtide.legs import Capacity

ISSUER = "lowtide"
COLUMNS: tuple[str, ...] = (
    "BilledCost",
    "EffectiveCost",
    "ListCost",
    "ContractedCost",
    "BillingAccountId",
    "BillingAccountName",
    "BillingAccountType",
    "BillingCurrency",
    "BillingPeriodStart",
    "BillingPeriodEnd",
    "ChargePeriodStart",
    "ChargePeriodEnd",
    "ChargeCategory",
    "ChargeClass",
    "ChargeDescription",
    "ChargeFrequency",
    "ConsumedQuantity",
    "ConsumedUnit",
    "PricingCategory",
    "PricingQuantity",
    "PricingUnit",
    "ServiceCategory",
    "ServiceSubcategory",
    "ServiceName",
    "ServiceProviderName",
    "HostProviderName",
    "InvoiceIssuerName",
    "SkuId",
    "SkuPriceId",
    "ResourceId",
    "ResourceName",
    "ResourceType",
    "SubAccountId",
    "SubAccountName",
    "SubAccountType",
    "Tags",
    "x_RunId",
    "x_Leg",
    "x_JournalLine",
    "x_JournalKey",
    "x_LineKind",
    "x_Measured",
    "x_TariffWindow",
    "x_PriceVersion",
    "x_Priority",
    "x_WrittenAt",
)
_DESCRIPTIONS = {
    LineKind.CHARGE: "GPU time",
    LineKind.OVERDRAFT: "GPU time beyond the hold",
    LineKind.CORRECTION: "Correction of GPU time charged before",
}
_HOUR = timedelta(hours=1)


class Kind(StrEnum):
    """What a column holds; a file format with types gives each kind its own."""

    TEXT = "text"
    DECIMAL = "decimal"
    MOMENT = "moment"
    INTEGER = "integer"
    FLAG = "flag"


_KIND_BY_ENDING = {
    "Cost": Kind.DECIMAL,
    "Quantity": Kind.DECIMAL,
    "PeriodStart": Kind.MOMENT,
    "PeriodEnd": Kind.MOMENT,
    "WrittenAt": Kind.MOMENT,
    "Leg": Kind.INTEGER,
    "JournalLine": Kind.INTEGER,
    "Measured": Kind.FLAG,
}


def kind_of(column: str) -> Kind:
    """Return what a column of `COLUMNS` holds.

    Example:
        >>> kind_of("BilledCost").value, kind_of("BillingPeriodEnd").value, kind_of("Tags").value
        ('decimal', 'moment', 'text')
    """
    for ending, kind in _KIND_BY_ENDING.items():
        if column.endswith(ending):
            return kind
    return Kind.TEXT


@dataclass(frozen=True, slots=True, kw_only=True)
class UseLine:
    """A journal line of used time, with what its run and leg say of it.

    Attributes:
        line: The line.
        job: The job's name.
        team: Whose it is.
        flavor: Kind of capacity.
        capacity: On which terms; None: unknown.
        gpus: GPUs that the run has.
        priority: The run's priority.
        tags: The run's labels.
    """

    line: JournalLine
    job: str
    team: str
    flavor: str
    capacity: Capacity | None
    gpus: int
    priority: str
    tags: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))


def focus_row(use: UseLine, *, zone: str) -> dict[str, str]:
    """Return one journal line as a FOCUS row.

    Args:
        use: The line, with its run's facts.
        zone: IANA name of the zone in whose calendar billing months begin.

    Returns:
        Its columns, in the order of `COLUMNS`.

    Raises:
        ValueError: the line is not one of used time.
    """
    line = use.line
    if line.used_from is None or line.used_to is None:
        msg = f"journal line {line.id} is of no used time"
        raise ValueError(msg)
    month = period_of(PeriodKind.MONTH, zone=zone, at=line.used_from)
    cost = f"{line.amount_usd:.6f}"
    is_correction = line.kind is LineKind.CORRECTION
    quantity = "" if is_correction else _gpu_hours(use, line.used_to - line.used_from)
    unit = "GPU-Hours" if quantity else ""
    terms = "" if use.capacity is None else f"{use.flavor}-{use.capacity.value}"
    row = {
        "BilledCost": cost,
        "EffectiveCost": cost,
        "ListCost": cost,
        "ContractedCost": cost,
        "BillingAccountId": use.team,
        "BillingAccountName": use.team,
        "BillingAccountType": "Team",
        "BillingCurrency": "USD",
        "BillingPeriodStart": _second(month.start),
        "BillingPeriodEnd": _second(month.end),
        "ChargePeriodStart": _second(line.used_from),
        "ChargePeriodEnd": _next_second(line.used_to),
        "ChargeCategory": "Usage",
        "ChargeClass": "Correction" if is_correction else "",
        "ChargeDescription": f"{_DESCRIPTIONS[line.kind]}, {use.flavor}, {line.window}",
        "ChargeFrequency": "Usage-Based",
        "ConsumedQuantity": quantity,
        "ConsumedUnit": unit,
        "PricingCategory": "Dynamic" if use.capacity is Capacity.SPOT else "Standard",
        "PricingQuantity": quantity,
        "PricingUnit": unit,
        "ServiceCategory": "AI and Machine Learning",
        "ServiceSubcategory": "Machine Learning",
        "ServiceName": "GPU training",
        "ServiceProviderName": ISSUER,
        "HostProviderName": "",
        "InvoiceIssuerName": ISSUER,
        "SkuId": use.flavor,
        "SkuPriceId": terms and f"{terms}-{line.price_version or ''}",
        "ResourceId": line.run or "",
        "ResourceName": use.job,
        "ResourceType": "GPU",
        "SubAccountId": line.budget,
        "SubAccountName": line.budget,
        "SubAccountType": "Budget",
        "Tags": json.dumps(dict(use.tags), sort_keys=True),
        "x_RunId": line.run or "",
        "x_Leg": "" if line.leg is None else str(line.leg),
        "x_JournalLine": str(line.id),
        "x_JournalKey": line.key,
        "x_LineKind": line.kind.value,
        "x_Measured": "true" if line.measured else "false",
        "x_TariffWindow": line.window or "",
        "x_PriceVersion": line.price_version or "",
        "x_Priority": use.priority,
        "x_WrittenAt": _second(line.at),
    }
    return {column: row[column] for column in COLUMNS}


def _gpu_hours(use: UseLine, duration: timedelta) -> str:
    return f"{Decimal(duration / _HOUR) * use.gpus:.6f}"


def _second(moment: datetime) -> str:
    return f"{moment.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}"


def _next_second(moment: datetime) -> str:
    """Round up: a charge period ends after it begins, however short it was."""
    up = moment if moment.microsecond == 0 else moment + timedelta(seconds=1)
    return _second(up)
