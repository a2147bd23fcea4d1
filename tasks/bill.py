"""What a leg costs: one place that turns its time into money, for holds, limits and charges."""

from collections.abc import Callable, Sequence
from datetime import datetime
from fractions import Fraction

from blocks.ledger import LegRow
from blocks.world import World
from lowtide.job import TrainingJob
from lowtide.ledger.records import Stretch
from lowtide.prices import Demand, PriceBook, price, segments


class Bill:
    """Prices one leg by the price-book version that it was opened under.

    Args:
        world: Where the prices are.
        job: What the leg runs.
        leg: The leg.
    """

    def __init__(self, world: World, job: TrainingJob, leg: LegRow) -> None:
        self.version = leg.price_version
        self.book: PriceBook = world.prices.book().pinned(leg.price_version)
        self.demand = Demand.of(job, leg.capacity)

    def cost(self, *, start: datetime, end: datetime) -> Fraction:
        """Return the exact price of a stretch of the leg's time, US dollars."""
        return price(self.book, self.demand, start=start, end=end)

    def stretches(self) -> Callable[[datetime, datetime], Sequence[Stretch]]:
        """Return the function that cuts time into stretches of one price each."""

        def cut(start: datetime, end: datetime) -> tuple[Stretch, ...]:
            parts = segments(self.book, self.demand, start=start, end=end)
            return tuple(
                Stretch(start=part.start, end=part.end, amount_usd=part.usd, window=part.window)
                for part in parts
            )

        return cut
