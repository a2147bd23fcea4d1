"""Price books that several tests price with."""

from datetime import UTC, datetime
from decimal import Decimal

from lowtide.prices import Flavor, Multipliers, PriceBook, Rates, Sheet, Window

PEAK = Window(name="peak", start_min=6 * 60, end_min=22 * 60)
OFF_PEAK = Window(name="off-peak", start_min=22 * 60, end_min=6 * 60, multiplier=Decimal("0.5"))
SPOT = Rates(gpu_usd_per_h=Decimal("0.075"), follows_windows=False)
RATES = Rates(gpu_usd_per_h=Decimal("0.25"))


def book(
    *,
    on_demand: Rates = RATES,
    spot: Rates | None = SPOT,
    interruption_rate: Decimal | None = Decimal("0.05"),
    windows: tuple[Window, ...] = (PEAK, OFF_PEAK),
) -> PriceBook:
    """The specification's prices, or what a test makes of them."""
    t4 = Flavor(name="t4", on_demand=on_demand, spot=spot, interruption_rate=interruption_rate)
    multipliers = Multipliers(urgent=Decimal("1.5"), background=Decimal("0.8"))
    sheet = Sheet(
        version="1",
        effective_from=datetime(2000, 1, 1, tzinfo=UTC),
        windows=windows,
        flavors=(t4,),
        multipliers=multipliers,
    )
    return PriceBook(sheets=(sheet,))
