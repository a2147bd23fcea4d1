"""Runs the trials of a sweep side by side, on one purse, and shows how they stand.

A trial may cost at most what is held for it, and is held for, at its start or later, only out of
what the others have neither used nor hold; one at a time takes of that. So all together never cost
more than the sweep may. What a trial gives back, the others use.
"""

from collections import deque
from collections.abc import Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextvars import copy_context
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from decimal import Decimal
from functools import partial
from threading import Event, Lock
from typing import Literal

from blocks.world import World
from lowtide.ask import TrainAsk
from lowtide.errors import LowtideError, UnavailableError
from lowtide.identity import run_id
from lowtide.job import TrainingJob
from lowtide.ledger.records import UNFINISHED, RunState
from lowtide.money import ZERO_USD, show_usd
from lowtide.progress import Progress, read_progress
from lowtide.sweep import (
    Gate,
    SweepAsk,
    TrialResult,
    best_until,
    is_hopeless,
    ranked,
    rungs,
)
from lowtide.verdict import RefusalReason, Refused
from tasks import log, show
from tasks.claim import Attached, Owned, claim
from tasks.effect import effect
from tasks.look import leg_starts
from tasks.shared_sum import SharedSum
from tasks.trial import TrialRun, capped, held_usd, hold, most_held_usd, refuse, result_of

_TURN_S = 1.0
_RENEW_EVERY = timedelta(seconds=15)


def sweep_id(key: str) -> str:
    """Return the id of the sweep that belongs to a caller's key.

    Examples:
        >>> sweep_id("lr")
        's-6896b0801b05'
    """
    return f"s-{run_id(key).removeprefix('r-')}"


@effect(name="run_trials")
def run_trials(
    world: World, ask: SweepAsk, *, key: str, flow_run: str
) -> tuple[TrialResult, ...] | Refused | Attached:
    """Run every trial that there is money for, and say what became of each.

    Run again under the same key it goes on where it was: trials that have ended are left alone.

    Args:
        world: The outside world.
        ask: What is asked for.
        key: The sweep's key.
        flow_run: Id of the flow run.

    Returns:
        One result for each configuration, in the order given; a refusal where the money of all was
        to be held at once and is not there; who has the sweep, where somebody else has it.
    """
    sweep = _Sweep(world=world, ask=ask, key=key, flow_run=flow_run)
    try:
        return sweep.run()
    finally:
        sweep.close()


@dataclass(slots=True, kw_only=True)
class _Sweep:
    world: World
    ask: SweepAsk
    key: str
    flow_run: str
    table: show.Table = field(default_factory=show.Table)
    results: dict[int, TrialResult] = field(default_factory=dict[int, TrialResult])
    owned: dict[int, Owned] = field(default_factory=dict[int, Owned])
    runs: dict[int, TrialRun] = field(default_factory=dict[int, TrialRun])
    spent_usd: dict[int, Decimal] = field(default_factory=dict[int, Decimal])
    elsewhere_usd: dict[int, Decimal] = field(default_factory=dict[int, Decimal])
    reached: dict[tuple[int, int], float] = field(default_factory=dict[tuple[int, int], float])
    judged: set[tuple[int, int]] = field(default_factory=set[tuple[int, int]])
    renewed_at: datetime | None = None
    lock: Lock = field(default_factory=Lock)
    money: SharedSum = field(init=False)
    leave: Event = field(default_factory=Event)

    def __post_init__(self) -> None:
        self.money = SharedSum(whose="the sweep's", left_usd=self._left_usd)

    @property
    def id(self) -> str:
        return sweep_id(self.key)

    def run(self) -> tuple[TrialResult, ...] | Refused | Attached:
        # The first configuration's lease is the sweep's own: of two flows of one key, one has it.
        anchor = self._claim(0)
        if isinstance(anchor, Attached):
            return anchor
        self._recall()
        waiting = deque(index for index in self.ask.order() if index not in self.spent_usd)
        if self.ask.gate is Gate.WHOLE:
            refused = self._hold_all(waiting)
            if refused is not None:
                return refused
        with ThreadPoolExecutor(self.ask.max_parallel, thread_name_prefix=self.id) as pool:
            try:
                self._work(waiting, pool)
            except BaseException:
                # Whatever ends this flow ends no training: the trials are left to whoever comes.
                self.leave.set()
                raise
        self.table.show(self.id, self._shown, last=True)
        return tuple(self.results[index] for index in sorted(self.results))

    def close(self) -> None:
        for owned in self.owned.values():
            self.world.ledger.drop_lease(owned.lease, now=self.world.now())

    def _work(self, waiting: deque[int], pool: ThreadPoolExecutor) -> None:
        running: dict[Future[None], int] = {}
        while waiting or running:
            while waiting and len(running) < self.ask.max_parallel:
                trial = self._fund(waiting[0], last_chance=not running)
                if trial == "later":
                    break
                index = waiting.popleft()
                if isinstance(trial, TrialRun):
                    self.runs[index] = trial
                    future = pool.submit(partial(copy_context().run, trial.to_the_end))
                    running[future] = index
            done, _ = wait(running, timeout=_TURN_S, return_when=FIRST_COMPLETED)
            for future in done:
                self._end(running.pop(future), future)
            self._renew(waiting)
            self.table.show(self.id, self._shown)

    def _fund(self, index: int, *, last_chance: bool) -> TrialRun | Literal["later"] | None:
        """Hold a trial's money; "later" when others may free some; None when it is not run."""
        owned = self._claim(index)
        if isinstance(owned, Attached):
            message = f"owned by {owned.owner}"
            self.results[index] = replace(self._result(index), message=message)
            self.spent_usd[index] = most_held_usd(self.world, owned.run)
            self.elsewhere_usd.pop(index, None)
            return None
        if held_usd(self.world, owned.run) == 0:
            refused = self._hold(owned)
            if refused is not None and not last_chance:
                return "later"
            if refused is not None:
                refuse(self.world, self._sharing(owned, cap_usd=self._left_usd()))
                self._close_books(index)
                return None
        return TrialRun(
            world=self.world,
            owned=self._sharing(owned, cap_usd=self.ask.max_usd),
            is_hopeless=partial(self._is_hopeless, index),
            leave=self.leave,
        )

    def _hold(self, owned: Owned) -> Refused | None:
        with self.money.left() as left_usd:
            return hold(self.world, self._sharing(owned, cap_usd=left_usd))

    def _sharing(self, owned: Owned, *, cap_usd: Decimal) -> Owned:
        return replace(capped(owned, cap_usd=cap_usd), shared=self.money)

    def _hold_all(self, waiting: Sequence[int]) -> Refused | None:
        """Hold every trial's money, or none."""
        for index in waiting:
            owned = self._claim(index)
            if isinstance(owned, Attached) or held_usd(self.world, owned.run) > 0:
                continue
            refused = self._hold(owned)
            if refused is not None:
                self._give_all_back(waiting, refused)
                return _of_the_whole(refused, self.ask, at=index)
        return None

    def _give_all_back(self, waiting: Sequence[int], refused: Refused) -> None:
        for index in waiting:
            owned = self.owned.get(index)
            if owned is None:
                continue
            now = self.world.now()
            if self.world.ledger.hold_of(owned.run) is not None:
                self.world.ledger.release(
                    key=f"{owned.run}/release",
                    run=owned.run,
                    now=now,
                    actor="sweep",
                    reason="the sweep as a whole was refused",
                )
            self.world.ledger.set_run_state(
                owned.lease, owned.run, state=RunState.REFUSED, message=refused.message, now=now
            )

    def _claim(self, index: int) -> Owned | Attached:
        if index in self.owned:
            return self.owned[index]
        job = self._job(index)
        ask = TrainAsk(job=job, key=f"{self.key}/{index}")
        claimed = claim(self.world, ask, fallback_key=self.key, flow_run=self.flow_run)
        if isinstance(claimed, Owned):
            self.owned[index] = claimed
            self.elsewhere_usd.pop(index, None)
        return claimed

    def _job(self, index: int) -> TrainingJob:
        return self.ask.configs[index].of(self.ask.job, sweep=self.id)

    def _left_usd(self) -> Decimal:
        """Return what no trial has used and none holds; read anew, for holds shrink."""
        owned = tuple(self.owned.items())  # the trials' threads ask too, while others come and go
        live = [one.run for at, one in owned if at not in self.spent_usd]
        held = self.world.ledger.taken_usd(live).values()
        others = (*self.spent_usd.values(), *self.elsewhere_usd.values())
        used_usd = sum(others, ZERO_USD) + sum(held, ZERO_USD)
        return max(self.ask.max_usd - used_usd, ZERO_USD)

    def _end(self, index: int, future: Future[None]) -> None:
        try:
            future.result()
        except LowtideError as error:
            # One trial's trouble is not the others'; `reconcile` settles what it left.
            log.warn(f"configuration {index}: {error}")
        self._close_books(index)

    def _close_books(self, index: int) -> None:
        owned = self.owned[index]
        self.results[index] = self._result(index)
        self.spent_usd[index] = held_usd(self.world, owned.run)
        if index != 0:
            self.world.ledger.drop_lease(owned.lease, now=self.world.now())
            del self.owned[index]

    def _renew(self, waiting: Sequence[int]) -> None:
        """Keep the leases of those that nobody else renews: they hold money, or are the anchor."""
        now = self.world.now()
        if self.renewed_at is not None and now - self.renewed_at < _RENEW_EVERY:
            return
        self.renewed_at = now
        for index in {0, *waiting} & self.owned.keys():
            self.world.ledger.renew_lease(self.owned[index].lease, now=now)

    def _is_hopeless(self, index: int, progress: Progress) -> str | None:
        halving, goal = self.ask.halving, self.ask.job.metric.goal
        if halving is None:
            return None
        with self.lock:
            for rung in rungs(halving, epochs=self._job(index).epochs):
                if progress.epochs_done < rung or (rung, index) in self.judged:
                    continue
                value = best_until(progress.values, rung, goal=goal)
                others = [
                    seen for (at, who), seen in self.reached.items() if at == rung and who != index
                ]
                self._reach(rung, index, value)
                if is_hopeless(value, others, goal=goal, keep_one_of=halving.keep_one_of):
                    return f"hopeless after {rung} epochs: {value} beside {len(others)} others"
        return None

    def _reach(self, rung: int, index: int, value: float | None) -> None:
        self.judged.add((rung, index))
        if value is not None:
            self.reached[rung, index] = value

    def _recall(self) -> None:
        """Take up what an earlier flow of this sweep left: ended trials, and what they reached.

        Those that have not ended may be somebody else's by now, and have what they ever had.
        """
        for index in range(len(self.ask.configs)):
            run = run_id(f"{self.key}/{index}")
            row = self.world.ledger.run(run)
            self.results[index] = self._result(index)
            if row is None or row.state in UNFINISHED:
                if row is not None and index not in self.owned:
                    self.elsewhere_usd[index] = most_held_usd(self.world, run)
                continue
            self.spent_usd[index] = held_usd(self.world, run)
            progress = self._past(row.mlflow_run_id, run, index)
            if progress is None:
                continue
            self.results[index] = self._result(index, progress)
            goal = self.ask.job.metric.goal
            for rung in rungs(self.ask.halving, epochs=self._job(index).epochs):
                if progress.epochs_done >= rung:
                    self._reach(rung, index, best_until(progress.values, rung, goal=goal))

    def _past(self, mlflow_run: str | None, run: str, index: int) -> Progress | None:
        if mlflow_run is None:
            return None
        job = self._job(index)
        try:
            points = self.world.tracking.history([mlflow_run], metric=job.metric.name)
        except UnavailableError as error:
            log.warn(f"what run {run} reached is not to be had: {error}")
            return None
        return read_progress(
            points[mlflow_run],
            leg_starts=leg_starts(self.world, run),
            epochs=job.epochs,
            goal=job.metric.goal,
        )

    def _result(self, index: int, progress: Progress | None = None) -> TrialResult:
        trial = self.runs.get(index)
        return result_of(
            self.world,
            run_id(f"{self.key}/{index}"),
            index=index,
            config=self.ask.configs[index].model_dump(mode="json", exclude_defaults=True),
            progress=progress if trial is None else trial.progress,
        )

    def _rows(self) -> list[TrialResult]:
        for index in self.owned.keys() & self.runs.keys():
            self.results[index] = self._result(index)
        return list(ranked(self.results.values(), goal=self.ask.job.metric.goal))

    def _shown(self) -> tuple[list[TrialResult], str]:
        return self._rows(), self._title()

    def _title(self) -> str:
        ended = len(self.spent_usd)
        return (
            f"{self.ask.job.name}: {ended} of {len(self.ask.configs)} configurations ended; "
            f"{show_usd(self._left_usd())} of {show_usd(self.ask.max_usd)} neither used nor held"
        )


def _of_the_whole(refused: Refused, ask: SweepAsk, *, at: int) -> Refused:
    what = f"the money of all {len(ask.configs)} configurations was to be held at once"
    if refused.reason is RefusalReason.JOB_LIMIT:
        return Refused(
            reason=RefusalReason.JOB_LIMIT,
            gap_usd=refused.gap_usd,
            message=f"{what}, and {show_usd(ask.max_usd)} does not reach beyond number {at}",
            remedy="raise max_usd, try fewer configurations, or hold it one by one",
        )
    return replace(refused, message=f"{what}: {refused.message}")
