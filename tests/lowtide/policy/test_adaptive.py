"""`adaptive` keeps the tables of its last question at hand; they are always those of this one."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from lowtide.job import CapacityAsk, PolicyName
from lowtide.policy import PRIOR, Tariff
from lowtide.policy.adaptive import _question, _tables
from tests.lowtide.policy.test_decide import HOUR_S, NOON, seen_at

END = NOON + timedelta(hours=10)
CHANGES: dict[str, list[Any]] = {
    "now": [NOON, NOON + timedelta(hours=1)],
    "ready_at": [NOON, NOON - timedelta(hours=2)],
    "deadline": [END, END + timedelta(hours=5)],
    "work_s": [6 * HOUR_S, 9.5 * HOUR_S],
    "work_left_s": [6 * HOUR_S, 3 * HOUR_S],
    "work_left_s_p90": [6 * HOUR_S, 5 * HOUR_S],
    "changeover_s": [300.0, 301.0],
    "changeover_s_max": [300.0, 1800.0],
    "poll_s": [60.0, 301.0],
    "on_demand": [(Tariff(start=NOON, end=END, usd_per_h=usd_per_h),) for usd_per_h in (1.0, 2.0)],
    "zone": [PRIOR, replace(PRIOR, share=PRIOR.share / 2)],
    "terms": [CapacityAsk.ANY, CapacityAsk.ON_DEMAND],
}
PRICES = [0.3, 0.6]


@pytest.mark.slow
@pytest.mark.parametrize("name", [*CHANGES, "spot_usd_per_h"])
def test_what_another_run_asked_before_is_never_the_answer(name: str) -> None:
    """Two runs that differ in one thing alone, each asked after the other."""
    for at in (0, 1, 0):
        changes = {name: CHANGES[name][at]} if name in CHANGES else {}
        seen = seen_at(policy=PolicyName.ADAPTIVE, **changes)
        assert seen.deadline is not None
        usd_per_h = PRICES[0 if name in CHANGES else at]

        tables = _tables(seen, deadline=seen.deadline, spot_usd_per_h=usd_per_h)

        asked = _question(seen, deadline=seen.deadline, spot_usd_per_h=usd_per_h)
        assert tables.question == asked
