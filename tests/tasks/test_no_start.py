"""Legs that never ran: they end as the job's own failure, and cost nothing."""

from datetime import datetime
from pathlib import Path
from typing import ClassVar

import pytest
from pydantic import PrivateAttr
from typing_extensions import override

from blocks.cluster.errors import ForbiddenError
from blocks.ledger import Books, Lease
from blocks.prices import Prices
from blocks.tracking import Tracking
from blocks.world import World
from lowtide.errors import BadInputError, LowtideError
from lowtide.job import TrainingJob
from lowtide.ledger.records import RunState
from lowtide.legs import Capacity, LegEnd, LegSpec
from tasks.claim import Owned
from tasks.plan import Plan
from tasks.settle import settle
from tasks.submit import submit_job
from tests.blocks.ledger.acts import HOUR, NOON, open_run, set_tree, usd
from tests.blocks.local.rigs import HandClock
from tests.fakes.runner import FakeRunner

RUN = "r-22be2a7c2553"
JOB = TrainingJob.model_validate(
    {
        "name": "digits",
        "command": ["train"],
        "where": "kubernetes",
        "image": "r/i:1",
        "expected_epoch_s": 5,
        "max_failures": 0,
    }
)
NOW = Plan(capacity=Capacity.ON_DEMAND, reason="the job's policy is run-now")


class Unwilling(FakeRunner):
    """A runner that refuses to start anything."""

    _block_type_slug: ClassVar[str | None] = "lowtide-unwilling-runner"
    _error: LowtideError = PrivateAttr()
    _asked: list[LegSpec] = PrivateAttr(default_factory=list[LegSpec])

    @override
    def start(self, spec: LegSpec, *, now: datetime) -> str:
        self._asked.append(spec)
        raise self._error


def unwilling(error: LowtideError) -> Unwilling:
    runner = Unwilling(clock=HandClock())
    runner._error = error
    return runner


@pytest.fixture
def world(tmp_path: Path) -> World:
    books = Books(url=f"sqlite:///{tmp_path}/ledger.db")
    books.migrate()
    set_tree(books, {"name": "team", "limit_usd": 1, "period": "month", "zone": "UTC"})
    open_run(books, RUN)
    books.hold(
        key="hold",
        run=RUN,
        budget="team",
        amount_usd=usd("0.5"),
        expires_at=NOON + HOUR,
        price_version="specification-1",
        actor="test",
        reason="a test",
        now=NOON,
    )
    books.set_mlflow_run(RUN, "tracked")
    runner = unwilling(BadInputError("there is no such LocalQueue", where="queue 'q'"))
    return World(
        ledger=books,
        tracking=Tracking(uri="http://127.0.0.1:9"),
        runner=runner,
        prices=Prices(),
        clock=runner.clock,
        checkpoints=tmp_path,
        reports=tmp_path,
    )


@pytest.fixture
def owned(world: World) -> Owned:
    lease = world.ledger.take_lease(RUN, owner="test", now=NOON)
    assert isinstance(lease, Lease)
    return Owned(run=RUN, job=JOB, lease=lease)


@pytest.mark.parametrize(
    "error",
    [
        BadInputError("there is no such LocalQueue", where="queue 'q'"),
        ForbiddenError("we may not list pods", where="namespace 'n'"),
    ],
    ids=["bad input", "no right"],
)
def test_a_leg_that_its_runner_cannot_start_fails_the_run_and_gives_all_its_money_back(
    world: World, owned: Owned, error: LowtideError
) -> None:
    refusing = world.model_copy(update={"runner": unwilling(error)})

    handle = submit_job.fn(refusing, owned, NOW)
    settle(refusing, owned)

    [leg] = world.ledger.legs(RUN)
    [hold] = world.ledger.holds(RUN)
    row = world.ledger.run(RUN)
    assert row is not None
    assert handle is None
    assert (leg.end, leg.where, leg.charged_usd) == (LegEnd.FAILED, "kubernetes", 0)
    assert (hold.charged_usd, hold.released_usd) == (0, usd("0.5"))
    assert row.state is RunState.FAILED
    assert error.message in row.message


def test_a_leg_that_an_earlier_call_may_have_started_is_left_to_whoever_can_look(
    world: World, owned: Owned
) -> None:
    forbidden = unwilling(ForbiddenError("we may not list pods", where="namespace 'n'"))
    silent = FakeRunner(clock=HandClock()).failing(times=1)
    with pytest.raises(LowtideError):
        submit_job.fn(world.model_copy(update={"runner": silent}), owned, NOW)

    with pytest.raises(ForbiddenError):
        submit_job.fn(world.model_copy(update={"runner": forbidden}), owned, None)

    assert [leg.end for leg in world.ledger.legs(RUN)] == [None]


def test_a_kubernetes_leg_is_asked_for_with_its_image_its_checkpoints_and_its_bound(
    world: World, owned: Owned
) -> None:
    bounded = JOB.model_copy(update={"budget": JOB.budget.model_copy(update={"max_usd": usd(1)})})
    runner = unwilling(BadInputError("no"))

    submit_job.fn(
        world.model_copy(update={"runner": runner}),
        Owned(run=RUN, job=bounded, lease=owned.lease),
        NOW,
    )

    [spec] = runner._asked
    assert (spec.settings["image"], spec.checkpoint_dir) == ("r/i:1", "/checkpoints")
    assert spec.env["LOWTIDE_CHECKPOINT_DIR"] == "/checkpoints"
    # A dollar pays for 4 hours at the day's rate; it may start 10 minutes late.
    assert spec.settings["bound_s"] == 4 * 3600 + 600
