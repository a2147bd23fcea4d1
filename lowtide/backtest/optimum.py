"""The cheapest cost in hindsight: a dynamic programme that knows all that will come.

No policy can know as much; what it costs beyond this is the price of not knowing. The state is the
slack, as in `lowtide.policy.tables` and for the same reasons, and many windows are solved at once:
the recursion is the same for all of them, only what is available and what it costs differs.
"""

from collections import deque
from collections.abc import Sequence
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from lowtide.backtest.market import Market
from lowtide.backtest.simulate import Ask

Costs: TypeAlias = NDArray[np.float32]

_IMPOSSIBLE = np.float32(1e9)
_TICK_S_MIN = 360.0
_PARTS = 5
_HOUR_S = 3600
_ROUNDING = 1e-6
_BATCH_CELLS = 40_000


def offline_optimum(markets: Sequence[Market], ask: Ask) -> NDArray[np.float64]:
    """Return the least that each window could have cost.

    Time is cut into slots of a fifth of a tick, or of a tick where ticks are shorter than six
    minutes. The work is rounded to slots, the deadline down and the changeover up.

    Args:
        markets: Windows of one tick length, each at least as long as the deadline.
        ask: What must be done; the same for all.

    Returns:
        US dollars; shape (windows,). Infinite where the work does not fit before the deadline.

    Source:
        The optimum of Wu et al. (NSDI 2024), section 6, as a dynamic programme instead of their
        integer programme.

    Examples:
        >>> there = np.array([True] * 6 + [False] * 12)
        >>> market = Market(
        ...     gap_s=600.0,
        ...     available=there,
        ...     spot_usd_per_h=np.full(18, 0.3),
        ...     on_demand_usd_per_h=np.full(18, 1.0),
        ... )
        >>> ask = Ask(work_s=4800.0, deadline_s=9000.0, changeover_s=600.0)
        >>> offline_optimum([market], ask).round(4).tolist()
        [0.9667]
    """
    gap_s = markets[0].gap_s
    parts = 1 if gap_s < _TICK_S_MIN else _PARTS
    slot_s = gap_s / parts
    slots = int(ask.deadline_s / slot_s + _ROUNDING)
    slack = slots - round(ask.work_s / slot_s)
    changeover = int(np.ceil(ask.changeover_s / slot_s - _ROUNDING))
    if slack < changeover:
        return np.full(len(markets), np.inf)
    batch = max(1, _BATCH_CELLS // (slack + 1))
    costs = [
        _solve(
            markets[first : first + batch],
            parts=parts,
            slots=slots,
            slack=slack,
            changeover=changeover,
        )
        for first in range(0, len(markets), batch)
    ]
    return np.concatenate(costs) * slot_s / _HOUR_S


def _solve(
    markets: Sequence[Market], *, parts: int, slots: int, slack: int, changeover: int
) -> NDArray[np.float64]:
    def by_slot(series: str) -> NDArray[np.float32]:
        ticks = np.array([getattr(market, series) for market in markets], np.float32)
        return np.repeat(ticks, parts, axis=1)[:, :slots]

    spot, on_demand = by_slot("spot_usd_per_h"), by_slot("on_demand_usd_per_h")
    # A slot without spot capacity costs so much there that no plan takes it.
    spot = np.where(by_slot("available") > 0, spot, _IMPOSSIBLE)
    shape = (len(markets), slack + 1)
    idle = np.zeros(shape, np.float32)
    # What it costs to be running from a later slot on; the last entry is a changeover away.
    on_spot = deque([idle] * (changeover + 1), maxlen=changeover + 1)
    on_od = deque([idle] * (changeover + 1), maxlen=changeover + 1)
    for slot in range(slots - 1, -1, -1):
        left = slots - slot
        waits = np.full(shape, _IMPOSSIBLE, np.float32)
        waits[:, 1:] = idle[:, :-1]
        ends = slice(slot, slot + changeover)
        for running, price in ((on_spot, spot), (on_od, on_demand)):
            if left < changeover:
                continue
            # `running` is left after a changeover of nothing only by going on in this very slot.
            after = running[changeover - 1] if changeover else _going_on(running, price, slot)
            start = price[:, ends].sum(axis=1, keepdims=True) + after[:, : slack + 1 - changeover]
            np.minimum(waits[:, changeover:], start, out=waits[:, changeover:])
        waits[:, left:] = 0
        for running, price in ((on_spot, spot), (on_od, on_demand)):
            now = np.minimum(_going_on(running, price, slot), waits)
            now[:, left:] = 0
            running.appendleft(now)
        idle = waits
    return idle[:, slack].astype(np.float64)


def _going_on(running: deque[Costs], price: Costs, slot: int) -> Costs:
    return price[:, slot : slot + 1] + running[0]
