"""The price book as a document: what a YAML file may say. `parse.py` makes the book of it."""

import re
from datetime import date, datetime
from decimal import Decimal
from itertools import pairwise
from typing import Annotated, Literal, Self, TypeAlias

from pydantic import (
    AfterValidator,
    AwareDatetime,
    BeforeValidator,
    Field,
    StringConstraints,
    WithJsonSchema,
    model_validator,
)

from lowtide.documents import Part, number_from_yaml, refuse
from lowtide.errors import BadInputError
from lowtide.prices.records import ALL_DAY, DAY_MIN, DAYS, Day, Window
from lowtide.prices.windows import local_week, zone_named

CLOCK = re.compile(r"([01][0-9]|2[0-3]):([0-5][0-9])|24:00")


def _zone(name: str) -> str:
    try:
        zone_named(name)
    except BadInputError as error:
        refuse(error.message, expected=error.expected, remedy=error.remedy)
    return name


def _minute(value: object) -> object:
    if not (isinstance(value, str) and CLOCK.fullmatch(value)):
        refuse(
            "not a time of the day",
            expected='wall time in quotes, from "00:00" to "24:00"',
            remedy='write it in quotes, as "22:00": YAML reads a bare 22:00 as a number',
        )
    return int(value[:2]) * 60 + int(value[3:])


def _days(value: object) -> object:
    return DAYS if value == "all" else value


def _moment(value: object) -> object:
    # pydantic would read a year as seconds after 1970, and a bare date as midnight nowhere.
    if not isinstance(value, str | datetime):
        refuse(
            "not a moment",
            expected="a time with its zone, as 2026-12-01T00:00:00Z",
            remedy="give the date its time and zone",
        )
    return value


def _text(value: object) -> object:
    if isinstance(value, date | int | float):
        refuse("not text", expected='text in quotes, as "2026-09-06"', remedy="put it in quotes")
    return value


def _dollars(value: object) -> object:
    if value != "USD":
        refuse("the ledger keeps US dollars", expected="USD", remedy="convert the rates to USD")
    return value


ZoneName: TypeAlias = Annotated[str, AfterValidator(_zone)]
_Name: TypeAlias = Annotated[str, StringConstraints(pattern=r"^[a-z0-9]([-a-z0-9_.]*[a-z0-9])?$")]
VersionName: TypeAlias = Annotated[
    str, BeforeValidator(_text), StringConstraints(min_length=1, max_length=100)
]
_Moment: TypeAlias = Annotated[AwareDatetime, BeforeValidator(_moment)]
_Clock: TypeAlias = Annotated[
    int,
    BeforeValidator(_minute),
    WithJsonSchema({"type": "string", "pattern": f"^({CLOCK.pattern})$"}),
]
_Days: TypeAlias = Annotated[
    tuple[Day, ...],
    BeforeValidator(_days),
    Field(min_length=1),
    WithJsonSchema(
        {
            "anyOf": [
                {"const": "all"},
                {"type": "array", "minItems": 1, "items": {"enum": list(DAYS)}},
            ]
        }
    ),
]
# Bounds come before the check for booleans: so the JSON Schema shows them as its own keywords.
_NOT_TRUE = BeforeValidator(number_from_yaml)
Rate: TypeAlias = Annotated[Decimal, Field(ge=0, le=1_000_000), _NOT_TRUE]
Currency: TypeAlias = Annotated[Literal["USD"], BeforeValidator(_dollars)]
Factor: TypeAlias = Annotated[Decimal, Field(gt=0, le=1_000), _NOT_TRUE]
WindowFactor: TypeAlias = Annotated[Decimal, Field(ge=0, le=1_000), _NOT_TRUE]
Share: TypeAlias = Annotated[Decimal, Field(ge=0, le=1), _NOT_TRUE]
_Hours: TypeAlias = Annotated[Decimal, Field(gt=0, le=8_784), _NOT_TRUE]


class WindowDocument(Part):
    """A priced stretch of the local day."""

    name: _Name = Field(title="Name", description="As people call it, for instance off-peak.")
    days: _Days = Field(
        default=DAYS, title="Days", description="Days on which it begins: all, or mon to sun."
    )
    start: _Clock = Field(title="Start", description="Wall time at which it begins, in quotes.")
    end: _Clock = Field(
        title="End",
        description="Wall time before which it ends, in quotes; not after the start: next day.",
    )
    multiplier: WindowFactor = Field(
        default=Decimal(1), title="Multiplier", description="Factor on the on-demand rates."
    )

    @model_validator(mode="after")
    def _has_a_length(self) -> Self:
        if self.start in {self.end, DAY_MIN}:
            refuse(
                f"window {self.name!r} has no length",
                expected="a start before 24:00 and another time as its end",
                remedy='a whole day is "00:00" to "24:00"',
            )
        return self

    def record(self) -> Window:
        """Return what prices are computed with."""
        return Window(
            name=self.name,
            days=self.days,
            start_min=self.start,
            end_min=self.end or DAY_MIN,
            multiplier=self.multiplier,
        )


class SeriesDocument(Part):
    """A market price that moves."""

    file: str = Field(
        min_length=1,
        title="File",
        description="CSV beside the price book, header at,usd_per_h; US dollars per GPU-hour.",
    )
    max_usd_per_h: Rate | None = Field(
        default=None,
        title="At most, USD/h",
        description="What is bid per GPU-hour: it is held at this price and never billed above it. "
        "Empty: the on-demand rate.",
    )
    stale_after_h: _Hours = Field(
        title="Stale after, h", description="Hours for which a row holds when no other follows."
    )


class _Price(Part):
    gpu_usd_per_h: Rate | None = Field(
        default=None, title="GPU, USD/h", description="US dollars per GPU and hour."
    )
    series: SeriesDocument | None = Field(
        default=None, title="Series", description="A market price instead of a fixed GPU rate."
    )

    @model_validator(mode="after")
    def _has_one_gpu_price(self) -> Self:
        if (self.gpu_usd_per_h is None) == (self.series is None):
            refuse(
                "a price is either a fixed rate or a series",
                expected="one of gpu_usd_per_h and series",
                got="neither" if self.series is None else "both",
                remedy="give one of them; an unknown price never counts as 0",
            )
        return self


class OnDemandDocument(_Price):
    """What capacity costs on demand; the windows' multipliers apply, but not to a series."""

    cpu_usd_per_core_h: Rate = Field(
        default=Decimal(0), title="CPU, USD/h", description="US dollars per CPU core and hour."
    )
    memory_usd_per_gib_h: Rate = Field(
        default=Decimal(0), title="Memory, USD/h", description="US dollars per GiB and hour."
    )

    @model_validator(mode="after")
    def _a_series_has_a_maximum(self) -> Self:
        if self.series and self.series.max_usd_per_h is None:
            refuse(
                "an on-demand series has no maximum",
                expected="series.max_usd_per_h, the price at which money is set aside",
                got="none",
                remedy="give the highest price that may be paid",
            )
        return self


class SpotDocument(_Price):
    """What capacity costs on spot; no window's multiplier applies."""

    cpu_usd_per_core_h: Rate | None = Field(
        default=None, title="CPU, USD/h", description="Per core; empty: the on-demand rate."
    )
    memory_usd_per_gib_h: Rate | None = Field(
        default=None, title="Memory, USD/h", description="Per GiB; empty: the on-demand rate."
    )
    interruption_rate: Share | None = Field(
        default=None,
        title="Interruption rate",
        description="Share of spot runs that lose their capacity, 0 to 1; empty: unknown.",
    )


class FlavorDocument(Part):
    """A kind of capacity."""

    on_demand: OnDemandDocument = Field(title="On demand", description="Its rates on demand.")
    spot: SpotDocument | None = Field(
        default=None, title="Spot", description="Its rates on spot; empty: not offered."
    )


class MultipliersDocument(Part):
    """What each priority multiplies the price by."""

    urgent: Factor = Field(title="Urgent", description="Factor of urgent jobs.")
    normal: Factor = Field(title="Normal", description="Factor of normal jobs.")
    background: Factor = Field(title="Background", description="Factor of background jobs.")


def _covering(windows: tuple[WindowDocument, ...]) -> tuple[WindowDocument, ...]:
    try:
        local_week(tuple(window.record() for window in windows))
    except BadInputError as error:
        refuse(error.message, expected=error.expected, remedy=error.remedy)
    return windows


class SheetDocument(Part):
    """One version of the prices."""

    version: VersionName = Field(title="Version", description="Its name; journal lines carry it.")
    effective_from: _Moment = Field(
        title="From", description="In force from here on; a time with its zone."
    )
    effective_until: _Moment | None = Field(
        default=None, title="Until", description="In force before; empty: until the next version."
    )
    zone: ZoneName | None = Field(
        default=None, title="Zone", description="IANA zone of the windows; empty: the book's."
    )
    windows: (
        Annotated[tuple[WindowDocument, ...], Field(min_length=1), AfterValidator(_covering)]
        | None
    ) = Field(
        default=None,
        title="Windows",
        description="They cover every minute of the local week exactly once; empty: a flat tariff.",
    )
    flavors: dict[_Name, FlavorDocument] = Field(
        min_length=1, title="Flavors", description="What is offered, by name."
    )
    priority_multipliers: MultipliersDocument | None = Field(
        default=None, title="Priorities", description="Factors of the priorities; empty: all 1."
    )
    source: str = Field(default="", title="Source", description="Where the figures come from.")

    @property
    def window_records(self) -> tuple[Window, ...]:
        """What prices are computed with."""
        return tuple(window.record() for window in self.windows) if self.windows else ALL_DAY


def _in_order(sheets: tuple[SheetDocument, ...]) -> tuple[SheetDocument, ...]:
    for sheet in sheets:
        if sheet.effective_until is not None and sheet.effective_until <= sheet.effective_from:
            refuse(
                f"version {sheet.version!r} ends before it begins",
                expected=f"effective_until after {sheet.effective_from.isoformat()}",
                got=sheet.effective_until.isoformat(),
            )
    for earlier, later in pairwise(sheets):
        end = earlier.effective_until or earlier.effective_from
        if earlier.effective_from >= later.effective_from or end > later.effective_from:
            refuse(
                f"versions {earlier.version!r} and {later.version!r} overlap or are out of order",
                expected=f"effective_from at or after {end.isoformat()}",
                got=later.effective_from.isoformat(),
                remedy="order the sheets by effective_from, oldest first",
            )
    versions = [sheet.version for sheet in sheets]
    twice = next((version for version in versions if versions.count(version) > 1), None)
    if twice is not None:
        refuse(
            f"version {twice!r} is there twice",
            expected="a name of its own for each version",
            remedy="rename one: a leg is billed by the version that it was held at",
        )
    return sheets


class BookDocument(Part):
    """A price book."""

    currency: Currency = Field(
        default="USD", title="Currency", description="Currency of all rates; the ledger's."
    )
    zone: ZoneName = Field(
        default="UTC", title="Zone", description="IANA zone of the windows, unless a sheet says."
    )
    sheets: Annotated[
        tuple[SheetDocument, ...], Field(min_length=1), AfterValidator(_in_order)
    ] = Field(title="Versions", description="Versions of the prices, oldest first.")
