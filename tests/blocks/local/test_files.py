"""The leg's files: whole or not there, and only one can be the first."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from blocks.local.cluster import as_order
from blocks.local.files import Ended, LegFolder, Order
from tests.blocks.local.rigs import leg_spec

NOON = datetime(2026, 11, 23, 12, tzinfo=UTC)
MEASURED = Ended(started_at=NOON, ended_at=NOON + timedelta(seconds=9), exit_code=0, reason="done")
SEEN = Ended(started_at=NOON, ended_at=NOON + timedelta(hours=1), measured=False, reason="gone")


@pytest.fixture
def leg(tmp_path: Path) -> LegFolder:
    folder = LegFolder(tmp_path / "r-0123456789ab-leg-1")
    folder.path.mkdir()
    return folder


def order(leg: LegFolder, *, limit_s: float = 60.0) -> Order:
    return replace(
        as_order(leg_spec("work", home=leg.path, now=NOON), python="python"), limit_s=limit_s
    )


def test_what_was_written_is_read_unchanged(leg: LegFolder) -> None:
    assert leg.place(order(leg))
    leg.write_end(MEASURED)

    assert leg.order() == order(leg)
    assert leg.ended() == MEASURED


def test_the_first_order_stays(leg: LegFolder) -> None:
    assert leg.place(order(leg))

    assert not leg.place(order(leg, limit_s=90))
    assert leg.order() == order(leg)


def test_of_many_at_once_one_is_the_first(leg: LegFolder) -> None:
    with ThreadPoolExecutor(8) as pool:
        placed = [pool.submit(leg.place, order(leg, limit_s=60 + i)) for i in range(8)]

    firsts = [i for i, one in enumerate(placed) if one.result()]
    assert len(firsts) == 1
    assert leg.order() == order(leg, limit_s=60 + firsts[0])


def test_a_witness_does_not_contradict_a_measurement(leg: LegFolder) -> None:
    leg.write_end(MEASURED)

    assert leg.testify(SEEN) == MEASURED


def test_a_measurement_counts_over_what_a_witness_wrote(leg: LegFolder) -> None:
    assert leg.testify(SEEN) == SEEN

    leg.write_end(MEASURED)

    assert leg.ended() == MEASURED


def test_nothing_is_left_aside(leg: LegFolder) -> None:
    leg.place(order(leg))
    leg.place(order(leg))
    leg.write_limit(5)
    leg.testify(SEEN)

    assert sorted(path.name for path in leg.path.iterdir()) == [
        "end.json",
        "leg.json",
        "limit.json",
    ]


def test_the_limit_is_the_orders_until_it_is_changed(leg: LegFolder) -> None:
    assert leg.limit_s(order(leg)) == 60.0

    leg.write_limit(75.5)

    assert leg.limit_s(order(leg)) == 75.5
