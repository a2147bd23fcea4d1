"""The price book: versioned sheets of rates, each in force from a date on. Immutable.

The one hard idea: what a question is priced by is chosen by making another book, not by flags.
`book.pinned(version)` bills every moment by one version, as a leg is billed by the one that was in
force at its hold. `book.held()` prices each market series at its stated maximum, as money is set
aside. All functions of this package take any of the three.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from datetime import datetime
from decimal import Decimal
from functools import lru_cache
from typing import Literal, TypeAlias, get_args

from typing_extensions import override

from lowtide.errors import BadInputError
from lowtide.job import Priority, TrainingJob
from lowtide.legs import Capacity
from lowtide.prices.errors import PriceUnknownError
from lowtide.prices.instants import BEGINNING, utc

Day: TypeAlias = Literal["mon", "tue", "wed", "thu", "fri", "sat", "sun"]
DAYS: tuple[Day, ...] = get_args(Day)
DAY_MIN = 24 * 60


@dataclass(frozen=True, slots=True, kw_only=True)
class Window:
    """A priced stretch of the local day.

    Attributes:
        name: What people and journal lines call it, as in off-peak.
        days: The days on which it begins.
        start_min: Wall time at which it begins, minutes after 00:00, 0 to 1439.
        end_min: Wall time before which it ends, 1 to 1440; at or before `start_min`: on the next day.
        multiplier: Factor on the on-demand rates, >= 0.
    """

    name: str
    days: tuple[Day, ...] = DAYS
    start_min: int = 0
    end_min: int = DAY_MIN
    multiplier: Decimal = Decimal(1)


ALL_DAY = (Window(name="all-day"),)
"""Windows of a flat tariff."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PricePoint:
    """A market price from a moment on.

    Attributes:
        at: Aware UTC.
        usd_per_h: US dollars per GPU-hour, >= 0; None: nobody knows it from here on.
    """

    at: datetime
    usd_per_h: Decimal | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Series:
    """A market price that moves.

    Attributes:
        points: Oldest first, times strictly ascending; each holds until the next.
        max_usd_per_h: What is bid, US dollars per GPU-hour: the price at which it is held, and the
            most that is ever billed, since the capacity is taken back above it.
        stale_after_h: Hours for which a point holds when no other follows; then unknown.
    """

    points: tuple[PricePoint, ...]
    max_usd_per_h: Decimal
    stale_after_h: Decimal


@dataclass(frozen=True, slots=True, kw_only=True)
class Rates:
    """What one kind of capacity costs.

    Attributes:
        gpu_usd_per_h: US dollars per GPU and hour, fixed or a market series.
        cpu_usd_per_core_h: US dollars per CPU core and hour.
        memory_usd_per_gib_h: US dollars per GiB of memory and hour.
        follows_windows: Whether the tariff windows' multipliers apply.
    """

    gpu_usd_per_h: Decimal | Series
    cpu_usd_per_core_h: Decimal = Decimal(0)
    memory_usd_per_gib_h: Decimal = Decimal(0)
    follows_windows: bool = True

    @property
    def held_gpu_usd_per_h(self) -> Decimal:
        """The GPU's rate at which money is set aside: a series' maximum."""
        gpu = self.gpu_usd_per_h
        return gpu.max_usd_per_h if isinstance(gpu, Series) else gpu

    def held(self) -> "Rates":
        """Return the same with a series at its maximum."""
        return replace(self, gpu_usd_per_h=self.held_gpu_usd_per_h)


@dataclass(frozen=True, slots=True, kw_only=True)
class Flavor:
    """A kind of capacity, Kueue's ResourceFlavor.

    Attributes:
        name: As jobs name it.
        on_demand: Its rates on demand.
        spot: Its rates on spot; None: it is not offered there.
        interruption_rate: Share of spot runs that lose their capacity, 0 to 1; None: unknown.
    """

    name: str
    on_demand: Rates
    spot: Rates | None = None
    interruption_rate: Decimal | None = None

    def rates(self, capacity: Capacity) -> Rates | None:
        """Return the rates on these terms; None where it is not offered on them."""
        return self.on_demand if capacity is Capacity.ON_DEMAND else self.spot

    def held(self) -> "Flavor":
        """Return the same with every series at its maximum."""
        spot = None if self.spot is None else self.spot.held()
        return replace(self, on_demand=self.on_demand.held(), spot=spot)


@dataclass(frozen=True, slots=True, kw_only=True)
class Multipliers:
    """What each priority multiplies the price by, > 0."""

    urgent: Decimal = Decimal(1)
    normal: Decimal = Decimal(1)
    background: Decimal = Decimal(1)

    def of(self, priority: Priority) -> Decimal:
        """Return one priority's multiplier."""
        return {
            Priority.URGENT: self.urgent,
            Priority.NORMAL: self.normal,
            Priority.BACKGROUND: self.background,
        }[priority]


@dataclass(frozen=True, slots=True, kw_only=True)
class Sheet:
    """One version of the prices.

    Attributes:
        version: Its name, copied into journal lines.
        effective_from: In force from here on, aware.
        effective_until: No longer in force from here on; None: until the next sheet.
        zone: IANA name of the zone whose wall clock the windows follow.
        windows: They cover each local day exactly once.
        flavors: What is offered.
        multipliers: Factors of the priorities.
        source: Where the figures come from.
    """

    version: str
    effective_from: datetime
    effective_until: datetime | None = None
    zone: str = "UTC"
    windows: tuple[Window, ...] = ALL_DAY
    flavors: tuple[Flavor, ...]
    multipliers: Multipliers = Multipliers()
    source: str = field(default="", compare=False)

    def flavor(self, name: str) -> Flavor | None:
        """Return the flavor of that name; None where this version has none."""
        return next((flavor for flavor in self.flavors if flavor.name == name), None)


@dataclass(frozen=True, slots=True, kw_only=True)
class PriceBook:
    """All versions of the prices, in US dollars.

    Attributes:
        sheets: Oldest first; no two are in force at the same moment.
        name: Which book it is, for messages.
    """

    sheets: tuple[Sheet, ...]
    name: str = field(default="price book", compare=False)
    # A book is the key of every cache in this package; hashing it anew would cost more than pricing.
    _hash: int = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_hash", hash(self.sheets))

    @override
    def __hash__(self) -> int:
        return self._hash

    @property
    def versions(self) -> tuple[str, ...]:
        """Names of the versions, oldest first."""
        return tuple(sheet.version for sheet in self.sheets)

    @property
    def flavors(self) -> tuple[str, ...]:
        """Names of all flavors that any version has, in alphabetical order."""
        return tuple(sorted({flavor.name for sheet in self.sheets for flavor in sheet.flavors}))

    def flavor(self, name: str) -> Flavor:
        """Return a flavor as the newest version that has it prices it.

        Raises:
            BadInputError: no version has it; the message lists the known ones.
        """
        for sheet in reversed(self.sheets):
            found = sheet.flavor(name)
            if found is not None:
                return found
        msg = "the price book has no such flavor"
        raise BadInputError(
            msg,
            where=self.name,
            expected=f"one of {_listed(self.flavors)}",
            got=repr(name),
            remedy="name a known flavor, or add this one to the book",
        )

    def sheet_at(self, moment: datetime) -> Sheet:
        """Return the version in force at a moment.

        Raises:
            PriceUnknownError: none is.
        """
        moment = utc(moment)
        begun = [sheet for sheet in self.sheets if sheet.effective_from <= moment]
        if begun and (begun[-1].effective_until is None or moment < begun[-1].effective_until):
            return begun[-1]
        msg = f"no version of the prices is in force at {moment.isoformat()}"
        raise PriceUnknownError(
            msg,
            at=moment,
            where=self.name,
            remedy="add a sheet whose effective_from is earlier",
        )

    def pinned(self, version: str) -> "PriceBook":
        """Return a book that bills every moment by one version, before and after its dates too.

        Raises:
            BadInputError: the book does not have it; the message lists the known ones.
        """
        return _pinned(self, version)

    def held(self) -> "PriceBook":
        """Return a book that prices each market series at its maximum, as money is set aside."""
        return _held(self)


@dataclass(frozen=True, slots=True, kw_only=True)
class Demand:
    """What is to be priced, apart from the time: what is asked for and how urgently.

    Attributes:
        flavor: Kind of capacity, as the price book names it.
        capacity: On demand or spot.
        gpus: GPUs requested, >= 0.
        cpus: CPU cores requested, >= 0.
        memory_gib: Memory requested, >= 0.
        priority: Chooses the multiplier.
    """

    flavor: str
    capacity: Capacity = Capacity.ON_DEMAND
    gpus: int = 1
    cpus: Decimal = Decimal(0)
    memory_gib: Decimal = Decimal(0)
    priority: Priority = Priority.NORMAL

    def __post_init__(self) -> None:
        amounts = {"gpus": Decimal(self.gpus), "cpus": self.cpus, "memory_gib": self.memory_gib}
        for name, amount in amounts.items():
            # A NaN compares false with everything, so it would pass every limit later on.
            if not (amount.is_finite() and amount >= 0):
                msg = "what is asked for must be a finite number, not negative"
                raise BadInputError(msg, where=f"demand: {name}", expected=">= 0", got=str(amount))

    @classmethod
    def of(cls, job: TrainingJob, capacity: Capacity) -> "Demand":
        """Return what a job asks for, on these terms.

        Examples:
            >>> job = TrainingJob(name="digits", command=["train"])
            >>> Demand.of(job, Capacity.SPOT).flavor
            't4'
        """
        return cls(
            flavor=job.resources.flavor,
            capacity=capacity,
            gpus=job.resources.gpus,
            cpus=job.resources.cpus,
            memory_gib=job.resources.memory_gib,
            priority=job.priority,
        )


# Cached, so that the same question is answered by the same object: caches then find it by identity.
@lru_cache(maxsize=64)
def _pinned(book: PriceBook, version: str) -> PriceBook:
    for sheet in book.sheets:
        if sheet.version == version:
            always = replace(sheet, effective_from=BEGINNING, effective_until=None)
            return replace(book, sheets=(always,))
    msg = "the price book has no such version"
    raise BadInputError(
        msg,
        where=book.name,
        expected=f"one of {_listed(book.versions)}",
        got=repr(version),
        remedy="keep a version in the book as long as a leg that it was pinned for is not settled",
    )


@lru_cache(maxsize=64)
def _held(book: PriceBook) -> PriceBook:
    return replace(
        book,
        sheets=tuple(
            replace(sheet, flavors=tuple(flavor.held() for flavor in sheet.flavors))
            for sheet in book.sheets
        ),
    )


def _listed(names: Iterable[str]) -> str:
    return ", ".join(names) or "none"
