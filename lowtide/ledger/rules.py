"""What may be done with the money: admission, splitting of used time, thresholds, corrections.

Amounts in here are whole micro-dollars (`_micro_usd`), as they are stored: the one rounding has
happened, and from here on every sum is exact.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from decimal import Decimal
from fractions import Fraction

from lowtide.errors import BadInputError
from lowtide.ledger.budgets import Mode
from lowtide.ledger.periods import Period
from lowtide.money import from_micro, show_usd, to_micro
from lowtide.verdict import RefusalReason, Refused

_TICK = timedelta(microseconds=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Level:
    """One budget on the way from the root to the budget that pays, in one period.

    Attributes:
        name: The budget.
        mode: What happens at its limit.
        period: The period.
        limit_micro_usd: Its limit in that period, adjustments included.
        held_micro_usd: Set aside on it for unfinished runs.
        charged_micro_usd: Spent in that period.
        lifted_micro_usd: By how much approvals lift the limit for the run that asks.
        thresholds: Percentages of the limit to report.
        fresh: Nothing was written in that period yet.
        closed: The period was closed: nothing may be written in it any more.
    """

    name: str
    mode: Mode
    period: Period
    limit_micro_usd: int
    held_micro_usd: int
    charged_micro_usd: int
    lifted_micro_usd: int = 0
    thresholds: tuple[int, ...] = ()
    fresh: bool = False
    closed: bool = False

    @property
    def available_micro_usd(self) -> int:
        """What could still be held; negative after an overrun."""
        return self.limit_micro_usd - self.charged_micro_usd - self.held_micro_usd


def whole_micro_usd(amount_usd: Decimal | Fraction | int, *, where: str) -> int:
    """Return an amount that may be set aside or spent as whole micro-dollars.

    Raises:
        BadInputError: it is negative, infinite or not a number.
    """
    amount_micro_usd = to_micro(amount_usd)
    if amount_micro_usd < 0:
        msg = "an amount of money cannot be negative here"
        remedy = "correct the amount; nothing was booked"
        raise BadInputError(msg, where=where, expected=">= 0", got=str(amount_usd), remedy=remedy)
    return amount_micro_usd


def admit(levels: Sequence[Level], *, run: str, amount_micro_usd: int) -> Refused | None:
    """Say whether money may be set aside on every budget of a path, or which one lacks most.

    Args:
        levels: The budgets from the root down.
        run: Who asks.
        amount_micro_usd: How much, >= 0.

    Returns:
        None when it may; else the refusal of the budget with the largest gap, the lower one of
        two with the same gap.

    Examples:
        >>> from datetime import UTC
        >>> week = Period(
        ...     start=datetime(2026, 11, 23, tzinfo=UTC), end=datetime(2026, 11, 30, tzinfo=UTC)
        ... )
        >>> team = Level(
        ...     name="team",
        ...     mode=Mode.BLOCK,
        ...     period=week,
        ...     limit_micro_usd=5_000_000,
        ...     held_micro_usd=1_500_000,
        ...     charged_micro_usd=500_000,
        ... )
        >>> admit([team], run="r-1", amount_micro_usd=3_000_000)
        >>> admit([team], run="r-1", amount_micro_usd=3_200_000).message
        "budget 'team' has $3.00 left of $5.00, run 'r-1' asks for $3.20"
    """
    refusing = [
        (amount_micro_usd - level.available_micro_usd - level.lifted_micro_usd, depth, level)
        for depth, level in enumerate(levels)
        if level.mode.blocks
    ]
    if not refusing:
        return None
    gap_micro_usd, _, level = max(refusing, key=lambda short: short[:2])
    if gap_micro_usd <= 0:
        return None
    gap_usd = from_micro(gap_micro_usd)
    room_usd = from_micro(max(level.available_micro_usd + level.lifted_micro_usd, 0))
    return Refused(
        reason=RefusalReason.BUDGET,
        gap_usd=gap_usd,
        budget=level.name,
        message=(
            f"budget {level.name!r} has {show_usd(room_usd)} left of "
            f"{show_usd(from_micro(level.limit_micro_usd))}, "
            f"run {run!r} asks for {show_usd(from_micro(amount_micro_usd))}"
        ),
        remedy=(
            f"ask for {show_usd(room_usd)} at most, raise the limit of {level.name!r} by "
            f"{show_usd(gap_usd)}, or wait until other runs release their holds"
        ),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Purse:
    """The money of one hold.

    Attributes:
        amount: All that was set aside, micro-dollars.
        charged: The part of it that was spent.
        overdraft: What was spent beyond it.
        released: What was given back when it ended.
        is_open: Whether it still sets money aside.
    """

    amount: int
    charged: int
    overdraft: int
    released: int
    is_open: bool

    @property
    def left(self) -> int:
        """What it still sets aside, micro-dollars."""
        return self.amount - self.charged - self.released if self.is_open else 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Booking:
    """How one charge or correction is booked, micro-dollars.

    Attributes:
        within: The part that the hold covers; negative for money given back.
        held: What it moves into the hold, negative for what it takes out.
        beyond: The part that the hold does not cover: an overdraft, >= 0.
    """

    within: int
    held: int
    beyond: int


def book(purse: Purse, charges: Sequence[int]) -> tuple[Purse, tuple[Booking, ...]]:
    """Book charges and corrections against a hold; what it does not cover is never silent.

    Money that one of them gives back pays for the others first, without passing through the hold:
    moving a charge from one period to another is no overdraft even where the hold has ended. What
    then comes back makes good an overdraft before it refills the hold.

    Args:
        purse: The hold's money.
        charges: What to book, in order; negative gives back. Together they give back no more than
            the hold was ever charged.

    Returns:
        The purse afterwards, and one booking for each charge.

    Examples:
        >>> purse = Purse(amount=10, charged=7, overdraft=0, released=0, is_open=True)
        >>> book(purse, [5])[1]
        (Booking(within=3, held=-3, beyond=2),)
        >>> book(purse, [-4, 6])[1]
        (Booking(within=-4, held=0, beyond=0), Booking(within=6, held=-2, beyond=0))
    """
    given_back = -sum(charge for charge in charges if charge < 0)
    wanted = sum(charge for charge in charges if charge > 0)
    bridge = {-1: min(given_back, wanted), 1: min(given_back, wanted)}
    bookings: list[Booking] = []
    for charge in charges:
        sign = 1 if charge > 0 else -1
        bridged = min(abs(charge), bridge[sign])
        bridge[sign] -= bridged
        purse, booking = (_spend if charge > 0 else _refund)(purse, abs(charge) - bridged)
        bookings.append(replace(booking, within=booking.within + sign * bridged))
    return purse, tuple(bookings)


def _spend(purse: Purse, micro_usd: int) -> tuple[Purse, Booking]:
    there = min(micro_usd, purse.left)
    beyond = micro_usd - there
    after = replace(purse, charged=purse.charged + there, overdraft=purse.overdraft + beyond)
    return after, Booking(within=there, held=-there, beyond=beyond)


def _refund(purse: Purse, micro_usd: int) -> tuple[Purse, Booking]:
    made_good = min(micro_usd, purse.overdraft)
    back = micro_usd - made_good
    after = replace(
        purse,
        charged=purse.charged - back,
        overdraft=purse.overdraft - made_good,
        released=purse.released + (0 if purse.is_open else back),
    )
    return after, Booking(within=-micro_usd, held=back if purse.is_open else 0, beyond=0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Piece:
    """A stretch of used time that lies in one period of every budget.

    Attributes:
        start: When it begins.
        end: When it ends.
        amount_micro_usd: What it costs.
        window: Tariff window.
    """

    start: datetime
    end: datetime
    amount_micro_usd: int
    window: str


def cut(whole: Piece, *, at: Iterable[datetime]) -> Iterator[Piece]:
    """Cut a stretch at some moments, its cost shared by time; no micro-dollar is lost.

    A stretch has one price, so sharing by time is exact up to the rounding, which is carried from
    piece to piece.

    Args:
        whole: The stretch.
        at: Where to cut; moments outside it are ignored.

    Yields:
        The pieces, in order of time; their amounts add up to the whole.

    Examples:
        >>> from datetime import UTC
        >>> noon, three = (
        ...     datetime(2026, 11, 23, 12, tzinfo=UTC),
        ...     datetime(2026, 11, 23, 15, tzinfo=UTC),
        ... )
        >>> whole = Piece(start=noon, end=three, amount_micro_usd=100, window="day")
        >>> one, two = (noon.replace(hour=hour) for hour in (13, 14))
        >>> [piece.amount_micro_usd for piece in cut(whole, at=[two, one])]
        [33, 34, 33]
    """
    inside = sorted({moment for moment in at if whole.start < moment < whole.end})
    if not inside:
        yield whole
        return
    start, billed_micro_usd = whole.start, 0
    for end in [*inside, whole.end]:
        share = Fraction((end - whole.start) // _TICK, (whole.end - whole.start) // _TICK)
        upto_micro_usd = round(whole.amount_micro_usd * share)
        yield Piece(
            start=start,
            end=end,
            amount_micro_usd=upto_micro_usd - billed_micro_usd,
            window=whole.window,
        )
        start, billed_micro_usd = end, upto_micro_usd


def crossed(
    thresholds: Sequence[int], *, limit_micro_usd: int, before_micro_usd: int, after_micro_usd: int
) -> tuple[int, ...]:
    """Return the thresholds that a figure reached on its way up.

    Args:
        thresholds: Percentages of the limit.
        limit_micro_usd: The limit.
        before_micro_usd: The figure before.
        after_micro_usd: The figure after.

    Returns:
        The percentages, in their order. A limit of 0 is reached by the first micro-dollar.

    Examples:
        >>> crossed((50, 80, 100), limit_micro_usd=10, before_micro_usd=4, after_micro_usd=8)
        (50, 80)
    """
    return tuple(
        percent
        for percent in thresholds
        if _reached(percent, limit_micro_usd, after_micro_usd)
        and not _reached(percent, limit_micro_usd, before_micro_usd)
    )


def _reached(percent: int, limit_micro_usd: int, figure_micro_usd: int) -> bool:
    return figure_micro_usd > 0 and figure_micro_usd * 100 >= percent * limit_micro_usd
