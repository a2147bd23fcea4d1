"""Budgets: limits in US dollars over a period, in a tree, each with a mode and thresholds.

A run's money is set aside on its budget and on every budget above it, so a limit anywhere on the
way to the root holds for all that lies below. A budget file is the whole tree; `parse_budgets`
takes it or leaves it, and says which entry is wrong.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from enum import StrEnum
from functools import cached_property
from typing import Annotated, Literal, TypeAlias, cast
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import AfterValidator, Field, StringConstraints, ValidationError

from lowtide.documents import Amount, Count, Part, explain, refuse
from lowtide.errors import BadInputError
from lowtide.ledger.periods import PeriodKind

BUDGET_NAME_PATTERN = r"^[a-z0-9][-a-z0-9_.]*(/[a-z0-9][-a-z0-9_.]*)*$"
THRESHOLDS_PERCENT = (50, 80, 100)
_LIMIT_USD_MAX = 1_000_000_000  # a thousandth of what micro-dollars in 64 bits can hold


class Mode(StrEnum):
    """What happens at a budget's limit. The values are stored: never rename one."""

    OBSERVE = "observe"
    """Nothing: the money is only counted."""
    WARN = "warn"
    """Thresholds are reported; nothing is refused."""
    BLOCK = "block"
    """New money is refused; a running leg may use up what it holds."""
    DRAIN = "drain"
    """New money is refused, and running legs stop at their next checkpoint."""
    KILL = "kill"
    """New money is refused, and running legs are ended."""

    @property
    def blocks(self) -> bool:
        """Whether the limit can refuse money."""
        return self not in {Mode.OBSERVE, Mode.WARN}


@dataclass(frozen=True, slots=True, kw_only=True)
class Budget:
    """One limit.

    Attributes:
        name: Its name, unique in the tree.
        limit_usd: What may be spent in one period, >= 0.
        parent: The budget above; None at a root.
        period: Length of the period.
        zone: IANA time zone in whose calendar the periods begin.
        mode: What happens at the limit.
        thresholds: Percentages of the limit to report, rising.
        approval_usd_max: The most by which one approval may lift the limit; 0: no approval may.
        rollover_usd_max: The most that a period, when it is closed, leaves to the next one.
    """

    name: str
    limit_usd: Decimal
    parent: str | None = None
    period: PeriodKind = PeriodKind.MONTH
    zone: str = "UTC"
    mode: Mode = Mode.BLOCK
    thresholds: tuple[int, ...] = THRESHOLDS_PERCENT
    approval_usd_max: Decimal = Decimal(0)
    rollover_usd_max: Decimal = Decimal(0)


@dataclass(frozen=True, kw_only=True)
class BudgetTree:
    """Budgets whose parents are all there and which contain no circle.

    Attributes:
        budgets: The budgets, in the order of the file.
        source: Name of the file or caller, for messages.

    Raises:
        BadInputError: a name comes twice, a parent is missing, or the parents run in a circle.

    Examples:
        >>> tree = BudgetTree(
        ...     budgets=(
        ...         Budget(name="research", limit_usd=Decimal(100)),
        ...         Budget(name="research/vision", limit_usd=Decimal(40), parent="research"),
        ...     )
        ... )
        >>> tree.path("research/vision")
        ('research', 'research/vision')
    """

    budgets: tuple[Budget, ...]
    source: str = field(default="budgets", compare=False)

    def __post_init__(self) -> None:
        self._refuse_doubles()
        for budget in self.budgets:
            self.path(budget.name)

    @cached_property
    def by_name(self) -> Mapping[str, Budget]:
        """The budgets by name."""
        return {budget.name: budget for budget in self.budgets}

    def path(self, name: str) -> tuple[str, ...]:
        """Return the names from the root down to a budget, the budget included."""
        path: list[str] = []
        at: str | None = name
        while at is not None:
            if at in path:
                self._refuse(
                    path[-1],
                    "the parents run in a circle",
                    got=" > ".join([*path, at]),
                    remedy="give one of them another parent, or none",
                )
            path.append(at)
            at = self._parent_of(at)
        return tuple(reversed(path))

    def _parent_of(self, name: str) -> str | None:
        parent = self.by_name[name].parent
        if parent is not None and parent not in self.by_name:
            self._refuse(
                name,
                "the parent is not in the tree",
                got=repr(parent),
                expected="one of " + ", ".join(sorted(self.by_name)),
                remedy=f"add {parent!r}, or correct the name",
            )
        return parent

    def _refuse_doubles(self) -> None:
        seen: set[str] = set()
        for budget in self.budgets:
            if budget.name in seen:
                remedy = "keep one of the entries"
                self._refuse(budget.name, "the name comes twice", remedy=remedy)
            seen.add(budget.name)

    def _refuse(
        self,
        name: str,
        message: str,
        *,
        remedy: str,
        expected: str | None = None,
        got: str | None = None,
    ) -> None:
        where = f"{self.source}: budget {name!r}"
        raise BadInputError(message, where=where, expected=expected, got=got, remedy=remedy)


def parse_budgets(document: object, *, source: str = "budgets") -> BudgetTree:
    """Read a budget tree from a parsed document, or say what is wrong with which entry.

    Args:
        document: What the YAML or JSON file held: a list of mappings.
        source: Name of the file or caller, for messages.

    Returns:
        The tree.

    Raises:
        BadInputError: the first finding.

    Examples:
        >>> parse_budgets([{"name": "research", "limit_usd": 100, "parent": "all"}])
        Traceback (most recent call last):
        lowtide.errors.BadInputError: budgets: budget 'research': the parent is not in the tree
        (expected one of research, got 'all'); add 'all', or correct the name
    """
    if not isinstance(document, list) or not document:
        msg = "a budget file is a list of budgets"
        got = f"a {type(cast('object', document)).__name__}" if document else "nothing"
        remedy = "start from examples/budgets.yaml"
        raise BadInputError(msg, where=source, expected="a list", got=got, remedy=remedy)
    listed = cast("list[object]", document)
    entries = [_entry(entry, at, source=source) for at, entry in enumerate(listed, start=1)]
    return BudgetTree(budgets=tuple(entry.budget() for entry in entries), source=source)


def _entry(entry: object, number: int, *, source: str) -> "BudgetEntry":
    name = cast("dict[str, object]", entry).get("name") if isinstance(entry, dict) else None
    where = f"{source}: budget {name!r}" if isinstance(name, str) else f"{source}: entry {number}"
    try:
        return BudgetEntry.model_validate(entry)
    except ValidationError as error:
        raise explain(error, source=where, schema="budgets") from None


def _known_zone(zone: str) -> str:
    try:
        ZoneInfo(zone)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        refuse(
            "no such time zone",
            expected="an IANA name, as Europe/Berlin",
            got=repr(zone),
            remedy="correct the name",
        )
    return zone


def _rising(thresholds: tuple[int, ...]) -> tuple[int, ...]:
    if sorted(set(thresholds)) != list(thresholds):
        refuse(
            "thresholds must rise",
            expected=str(sorted(set(thresholds))),
            got=str(list(thresholds)),
            remedy="put them in order, each once",
        )
    return thresholds


_BudgetName: TypeAlias = Annotated[
    str, StringConstraints(pattern=BUDGET_NAME_PATTERN, max_length=200)
]
_Usd: TypeAlias = Annotated[Amount, Field(ge=0, le=_LIMIT_USD_MAX, decimal_places=6)]
_Percent: TypeAlias = Annotated[Count, Field(ge=1, le=1000)]


class Approvals(Part):
    """How far a person may let a run go beyond the limit."""

    max_usd: _Usd = Field(
        default=Decimal(0),
        title="At most, USD",
        description="The most by which one approval may lift the limit; 0: no approval may.",
    )


class RollOver(Part):
    """How much unused money goes to the next period."""

    max_usd: _Usd = Field(
        default=Decimal(0),
        title="At most, USD",
        description="The most that a closed period leaves to the next one; 0: nothing.",
    )


class BudgetEntry(Part):
    """One entry of a budget file."""

    name: _BudgetName = Field(title="Name", description="Unique name, as in research/vision.")
    limit_usd: _Usd = Field(
        title="Limit, USD", description="What may be spent in one period, US dollars."
    )
    parent: _BudgetName | None = Field(
        default=None, title="Parent", description="The budget above; none at a root."
    )
    period: PeriodKind = Field(
        default=PeriodKind.MONTH, title="Period", description="How long the limit lasts."
    )
    zone: Annotated[str, AfterValidator(_known_zone)] = Field(
        default="UTC", title="Zone", description="IANA time zone of the period's calendar."
    )
    mode: Mode = Field(default=Mode.BLOCK, title="Mode", description="What happens at the limit.")
    thresholds: Annotated[tuple[_Percent, ...], AfterValidator(_rising)] = Field(
        default=THRESHOLDS_PERCENT,
        max_length=20,
        title="Thresholds, %",
        description="Percentages of the limit to report, of charged and of forecast.",
    )
    approvals: Approvals = Field(
        default_factory=Approvals,
        title="Approvals",
        description="How far a person may let a run go beyond the limit.",
    )
    roll_over: RollOver = Field(
        default_factory=RollOver,
        title="Roll-over",
        description="How much unused money goes to the next period when one is closed.",
    )
    currency: Literal["USD"] = Field(
        default="USD", title="Currency", description="All money is in US dollars."
    )

    def budget(self) -> Budget:
        """Return the entry as a budget."""
        return Budget(
            name=self.name,
            limit_usd=self.limit_usd,
            parent=self.parent,
            period=self.period,
            zone=self.zone,
            mode=self.mode,
            thresholds=self.thresholds,
            approval_usd_max=self.approvals.max_usd,
            rollover_usd_max=self.roll_over.max_usd,
        )
