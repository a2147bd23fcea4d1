"""A run that may be late says so at once, and once, whoever watches it."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from lowtide.announcements import EventName
from lowtide.events import EventKind
from lowtide.legs import Capacity
from tests.fakes.events import NotedEvents
from tests.fakes.runner import Script
from tests.tasks.test_decide import MINUTE, NOON, Rig, rig_for


@pytest.fixture
def rig(tmp_path: Path) -> Iterator[Rig]:
    """An hour of work by its forecast, and four hours of time; each epoch takes an hour."""
    made = rig_for(tmp_path, policy="run-now")
    made.runner.showing(there=False)
    made.runner.scripted(Script(epoch_s=(3600.0,)))
    yield made
    made.world.close()


def test_a_run_that_may_be_late_says_so_once_with_what_would_still_save_it(
    rig: Rig, caplog: pytest.LogCaptureFixture
) -> None:
    rig.start(Capacity.ON_DEMAND)
    rig.pass_time(MINUTE)
    rig.watch()
    rig.pass_time(61 * MINUTE)
    for _ in range(3):
        # Each look is another process's: what was said is in the ledger.
        assert rig.watch() is None
        rig.pass_time(MINUTE)

    [late] = rig.world.ledger.events(rig.owned.run, kind=EventKind.LATE)
    [told] = noted(rig).of(EventName.RUN_LATE)
    [line] = [line for line in caplog.messages if "late" in line]
    assert late.at > NOON + 61 * MINUTE
    assert late.body["ways"][0].startswith("a deadline of 2026-11-23T")
    assert any("epochs left" in way for way in late.body["ways"])
    assert told.body["ways"] == late.body["ways"]
    assert all(way in line for way in late.body["ways"])
    assert [late.body["ways"][0] in body["reason"] for body in rig.decisions()] == [False, True]


def test_a_run_in_time_says_nothing_of_it(rig: Rig) -> None:
    rig.start(Capacity.ON_DEMAND)
    rig.pass_time(20 * MINUTE)
    rig.watch()

    assert not rig.world.ledger.events(rig.owned.run, kind=EventKind.LATE)
    assert not noted(rig).told


def noted(rig: Rig) -> NotedEvents:
    assert isinstance(rig.world.events, NotedEvents)
    return rig.world.events
