"""One trial of a sweep, from its claim to its settled end, in a thread and not in a flow run.

A trial is a run like any other: a root row, a hold, legs, an MLflow run. It goes through the same
steps by the same functions, without Prefect's tasks around them: a task run costs fifty
milliseconds, which is more than all the rest of an instant trial.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from decimal import Decimal
from itertools import accumulate
from threading import Event
from typing import Any

from blocks.world import World
from lowtide.errors import UnavailableError
from lowtide.ledger.records import LineKind, RunState
from lowtide.legs import Capacity
from lowtide.money import ZERO_USD
from lowtide.progress import Progress
from lowtide.steps import Step, next_step
from lowtide.sweep import SWEEP_TAG, TrialResult
from lowtide.verdict import Refused
from tasks.budget import check_budget, hold_money
from tasks.claim import Owned
from tasks.look import look
from tasks.monitor import Watch
from tasks.plan import Plan
from tasks.settle import settle
from tasks.stop import ask_stop
from tasks.submit import submit_job
from tasks.updates import Updates

_LOOK_EVERY_S = 0.25
_LINES_MAX = 100_000
_MOVES = {LineKind.HOLD, LineKind.TOP_UP, LineKind.SHRINK, LineKind.RELEASE, LineKind.EXPIRE}
_PLAN = Plan(capacity=Capacity.ON_DEMAND, reason="the sweep runs its trials now")


def capped(owned: Owned, *, cap_usd: Decimal) -> Owned:
    """Return a run that may cost at most so much, whatever its job says."""
    own_usd = owned.job.budget.max_usd
    cap_usd = cap_usd if own_usd is None else min(cap_usd, own_usd)
    budget = owned.job.budget.model_copy(update={"max_usd": cap_usd})
    return replace(owned, job=owned.job.model_copy(update={"budget": budget}))


def held_usd(world: World, run: str) -> Decimal:
    """Return what a run has taken out of the sweep's money: charged, or still held."""
    return world.ledger.taken_usd([run]).get(run, ZERO_USD)


def most_held_usd(world: World, run: str) -> Decimal:
    """Return the most that a run ever had, charged or held.

    One that goes on without its sweep may give some back, and take it again: see `left_alone`.
    """
    lines = world.ledger.journal(run=run, limit=_LINES_MAX)
    had_usd = accumulate(line.amount_usd for line in lines if line.kind in _MOVES)
    return max(had_usd, default=ZERO_USD)


def left_alone(world: World, owned: Owned) -> Owned:
    """Return a run as it may go on without its sweep: with what it has, for who else has how much?

    A run that is no trial, or has no money yet, is returned as it is.
    """
    has_usd = held_usd(world, owned.run)
    if SWEEP_TAG not in owned.job.tags or has_usd == 0:
        return owned
    return capped(owned, cap_usd=has_usd)


def refuse(world: World, owned: Owned) -> None:
    """Write down that there is no money for a trial, by the gate's own words."""
    check_budget.fn(world, owned)


def hold(world: World, owned: Owned) -> Refused | None:
    """Set a trial's upper forecast aside, or say what is short and write nothing down."""
    verdict = hold_money(world, owned)
    if isinstance(verdict, Refused):
        return verdict
    world.ledger.set_run_state(
        owned.lease, owned.run, state=RunState.HELD, message="held", now=world.now()
    )
    return None


@dataclass(slots=True, kw_only=True)
class TrialRun:
    """Takes one trial, its money held, to its end.

    Attributes:
        world: The outside world.
        owned: The run, its money that of the whole sweep.
        is_hopeless: Asked after each epoch whether the trial need not go on.
        leave: Set when the sweep's process ends: the trial is left to whoever comes next.
        progress: Its epochs when they were last to be had.
        read: Its epochs as they were after its last leg had ended; None where nobody could say.
    """

    world: World
    owned: Owned
    is_hopeless: Callable[[Progress], str | None]
    leave: Event
    progress: Progress | None = None
    read: Progress | None = None

    def to_the_end(self) -> None:
        """Do what comes next until the run has ended and its money is settled."""
        world, owned = self.world, self.owned
        plan: Plan | None = None
        while not self.leave.is_set():
            view = look(world, owned.run, owned.job, planned=plan is not None)
            match next_step(view):
                case Step.PLAN:
                    plan = _PLAN
                case Step.SUBMIT:
                    submit_job.fn(world, owned, plan)
                    plan = None
                case Step.MONITOR:
                    self._watch(view.legs[-1].leg)
                case Step.SETTLE:
                    settle(world, owned, progress=self.read)
                case _:
                    return

    def _watch(self, leg: int) -> None:
        updates = Updates(world=self.world, owned=self.owned)
        watch = Watch(world=self.world, owned=self.owned, leg=leg, updates=updates)
        while not self.leave.is_set():
            try:
                if self._look(watch, leg):
                    return
            except UnavailableError as error:
                watch.silent(error)
            self.world.clock.pause(_LOOK_EVERY_S)

    def _look(self, watch: Watch, leg: int) -> bool:
        """Look once, end the hopeless, and say whether the leg has ended."""
        status = watch.look()
        self.progress = watch.progress or self.progress
        if status.phase == "ended":
            self.read = watch.read
            return True
        reason = None if self.progress is None else self.is_hopeless(self.progress)
        if reason is not None:
            now = self.world.now()
            ask_stop(self.world.ledger, self.owned.run, reason=reason, now=now)
            self.world.runner.stop(self.owned.run, leg)
        return False


def result_of(
    world: World,
    run: str,
    *,
    index: int,
    config: Mapping[str, Any],
    progress: Progress | None = None,
) -> TrialResult:
    """Return how a trial stands, from the books.

    Args:
        world: The outside world.
        run: Id of its run.
        index: Its place in the list.
        config: What was tried.
        progress: Its epochs, where they are known.
    """
    row = world.ledger.run(run)
    return TrialResult(
        index=index,
        run=run,
        config=config,
        state="waiting" if row is None else row.state.value,
        epochs_done=0 if progress is None else progress.epochs_done,
        best=None if progress is None else progress.best,
        charged_usd=sum((leg.charged_usd for leg in world.ledger.legs(run)), ZERO_USD),
        message="" if row is None else row.message,
    )
