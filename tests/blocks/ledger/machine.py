"""A state machine that drives the books and an auditor side by side, and crashes the books.

After each step every balance is compared with an auditor that shares no code with the ledger, and
the ledger's own rebuilding from the journal must find nothing. A crash strikes at a random
statement, or just after the commit; the operation is then simply done again, as a caller would.
"""

from collections.abc import Callable
from datetime import timedelta
from typing import Any, TypeVar

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
)
from typing_extensions import override

from blocks.ledger import Books, Lease, Stretch
from lowtide.errors import BadInputError, ConflictError
from lowtide.money import from_micro, to_micro
from lowtide.verdict import Refused
from tests.blocks.ledger.acts import EVERY_KIND, NOON, open_run, tree
from tests.blocks.ledger.auditor import QUARTER, Auditor, Held, Leg, Limit, Quarters
from tests.blocks.ledger.faults import Crash, crashing_at

T = TypeVar("T")

PAYING = ["a", "b", "b/x", "free"]
AMOUNTS = st.integers(0, 12_000_000)
RATES = st.integers(0, 900_001)
WINDOWS = st.sampled_from(["day", "night"])


class Machine(RuleBasedStateMachine):
    """Drives the books and the auditor side by side."""

    def __init__(self, url: str) -> None:
        super().__init__()
        self.url = url
        self.books = Books(self.url)
        self.now = NOON
        self.keys = 0
        self.crash_at: int | None = None
        self.auditor = Auditor(
            Limit(
                name=entry["name"],
                parent=entry.get("parent"),
                limit=entry["limit_usd"] * 1_000_000,
                period=entry["period"],
                zone=entry.get("zone", "UTC"),
                blocks=entry.get("mode", "block") == "block",
                rolls_over=entry.get("roll_over", {"max_usd": 0})["max_usd"] * 1_000_000,
                past={NOON: entry["limit_usd"] * 1_000_000},
            )
            for entry in EVERY_KIND
        )

    @override
    def teardown(self) -> None:
        self.books.close()

    def do(self, act: Callable[[Books], T]) -> T:
        """Do something, crash in the middle of it if one is due, and do it again then."""
        if self.crash_at is not None:
            at, self.crash_at = self.crash_at, None
            try:
                with crashing_at(self.books, statement=at):
                    return act(self.books)
            except Crash:
                self.books.close()
                self.books = Books(self.url)
        return act(self.books)

    def key(self) -> str:
        self.keys += 1
        return f"key-{self.keys}"

    def by(self, **more: Any) -> dict[str, Any]:
        return {"actor": "machine", "reason": "a test", "now": self.now, **more}

    def pick(
        self, data: st.DataObject, *, is_open: bool | None = None, legs: bool = False
    ) -> Held:
        fitting = [
            hold
            for hold in self.auditor.holds.values()
            if is_open in {None, hold.is_open} and (hold.legs or not legs)
        ]
        return data.draw(st.sampled_from(fitting))

    @property
    def some_open(self) -> bool:
        return any(hold.is_open for hold in self.auditor.holds.values())

    @property
    def some_leg(self) -> bool:
        return any(hold.legs for hold in self.auditor.holds.values())

    @initialize()
    def set_the_tree(self) -> None:
        self.do(lambda books: books.set_budgets(tree(*EVERY_KIND), **self.by()))

    @rule(statement=st.integers(1, 25))
    def a_crash_is_due(self, statement: int) -> None:
        self.crash_at = statement

    @rule(quarters=st.sampled_from([3, 97, 700]))
    def time_passes(self, quarters: int) -> None:
        self.now += quarters * QUARTER

    @precondition(lambda self: len(self.auditor.holds) < 12)
    @rule(budget=st.sampled_from(PAYING), amount=AMOUNTS, hours=st.integers(0, 200))
    def hold(self, budget: str, amount: int, hours: int) -> None:
        run = open_run(self.books, f"r-{len(self.auditor.holds)}-{self.key()}", budget=budget)
        expires_at = self.now + timedelta(hours=hours)
        ask = self.by(
            key=self.key(), run=run, budget=budget, expires_at=expires_at, price_version="1"
        )
        verdict = self.do(lambda books: books.hold(amount_usd=from_micro(amount), **ask))
        gap = self.auditor.gap(budget, amount, now=self.now)
        if isinstance(verdict, Refused):
            assert to_micro(verdict.gap_usd or 0) == gap > 0
            return
        assert gap == 0
        self.auditor.holds[run] = Held(run=run, budget=budget, amount=0, expires_at=expires_at)
        self.auditor.set_aside(self.auditor.holds[run], amount, now=self.now)
        self.start_leg(self.auditor.holds[run])
        assert self.books.hold(amount_usd=from_micro(amount), **ask) == verdict
        with pytest.raises(ConflictError):
            self.books.hold(amount_usd=from_micro(amount + 1), **ask)

    @precondition(lambda self: self.some_open)
    @rule(data=st.data(), amount=AMOUNTS)
    def top_up(self, data: st.DataObject, amount: int) -> None:
        hold = self.pick(data, is_open=True)
        ask = self.by(key=self.key(), run=hold.run, amount_usd=from_micro(amount))
        verdict = self.do(lambda books: books.top_up(**ask))
        gap = self.auditor.gap(hold.budget, amount, now=self.now)
        if isinstance(verdict, Refused):
            assert to_micro(verdict.gap_usd or 0) == gap > 0
            return
        assert gap == 0
        self.auditor.set_aside(hold, amount, now=self.now)
        assert self.books.top_up(**ask) == verdict

    @precondition(lambda self: self.some_open)
    @rule(data=st.data())
    def shrink(self, data: st.DataObject) -> None:
        hold = self.pick(data, is_open=True)
        total = data.draw(st.integers(hold.charged, hold.amount))
        ask = self.by(key=self.key(), run=hold.run, to_usd=from_micro(total))
        shrunk = self.do(lambda books: books.shrink(**ask))
        self.auditor.set_aside(hold, total - hold.amount, now=self.now)
        assert self.books.shrink(**ask) == shrunk

    @precondition(lambda self: self.some_open)
    @rule(data=st.data())
    def open_leg(self, data: st.DataObject) -> None:
        self.start_leg(self.pick(data, is_open=True))

    def start_leg(self, hold: Held) -> None:
        leg = len(hold.legs) + 1
        lease = self.books.take_lease(hold.run, owner="machine", now=self.now, ttl_s=1)
        assert isinstance(lease, Lease)
        terms = {"where": "local", "flavor": "t4", "capacity": "spot", "price_version": "1"}
        self.do(
            lambda books: books.open_leg(
                lease, leg=leg, limit_s=60, start_by=self.now, now=self.now, **terms
            )
        )
        hold.legs[leg] = Leg(start=self.now)

    @precondition(lambda self: self.some_leg)
    @rule(
        data=st.data(),
        overlap=st.integers(0, 4),
        count=st.integers(1, 90),
        rate=RATES,
        window=WINDOWS,
    )
    def charge(
        self, data: st.DataObject, overlap: int, count: int, rate: int, window: str
    ) -> None:
        hold = self.pick(data, legs=True)
        number = data.draw(st.sampled_from(sorted(hold.legs)))
        leg = hold.legs[number]
        start = (leg.until or leg.start) - overlap * QUARTER
        moments = [start + step * QUARTER for step in range(count)]
        self.now = max(self.now, start + count * QUARTER)
        ask = self.by(
            key=self.key(),
            run=hold.run,
            leg=number,
            window=window,
            price_version="1",
            amount_usd=from_micro(rate * count),
            period_start=start,
            period_end=start + count * QUARTER,
            measured=True,
        )
        if leg.settled:
            with pytest.raises(ConflictError):
                self.do(lambda books: books.charge(**ask))
            return
        done = self.do(lambda books: books.charge(**ask))
        fresh = {(at, window): rate for at in moments if leg.until is None or at >= leg.until}
        change, beyond = self.auditor.spend(hold, leg, {**leg.quarters, **fresh}, now=self.now)
        leg.until = max(leg.until or start, start + count * QUARTER)
        assert (to_micro(done.amount_usd), to_micro(done.overdraft_usd)) == (change, beyond)
        assert self.books.charge(**ask) == done

    @precondition(lambda self: self.some_leg)
    @rule(data=st.data(), days=st.integers(0, 2), rate=RATES, window=WINDOWS)
    def settle(self, data: st.DataObject, days: int, rate: int, window: str) -> None:
        hold = self.pick(data, legs=True)
        number = data.draw(st.sampled_from(sorted(hold.legs)))
        self.settle_leg(hold, number, days=days, rate=rate, window=window)

    @precondition(lambda self: self.some_open)
    @rule(data=st.data(), rate=RATES, again=RATES)
    def settle_release_and_correct(self, data: st.DataObject, rate: int, again: int) -> None:
        hold = self.pick(data, is_open=True)
        for number in hold.legs:
            self.settle_leg(hold, number, days=0, rate=rate, window="day")
        self.release_hold(hold)
        for number in hold.legs:
            self.settle_leg(hold, number, days=0, rate=again, window="night")

    def settle_leg(self, hold: Held, number: int, *, days: int, rate: int, window: str) -> None:
        leg = hold.legs[number]
        count = days * 96 + 5
        self.now = max(self.now, leg.start + count * QUARTER)
        used: Quarters = {(leg.start + step * QUARTER, window): rate for step in range(count)}
        costs = [
            Stretch(
                start=leg.start,
                end=leg.start + count * QUARTER,
                amount_usd=from_micro(rate * count),
                window=window,
            )
        ]
        ask = self.by(key=self.key(), run=hold.run, leg=number, price_version="1", measured=True)
        done = self.do(lambda books: books.settle(costs=costs, **ask))
        change, _ = self.auditor.spend(hold, leg, used, now=self.now)
        leg.until = max(leg.until or leg.start, leg.start + count * QUARTER)
        leg.settled = True
        assert to_micro(done.amount_usd) == change
        assert self.books.settle(costs=costs, **ask) == done

    @precondition(lambda self: self.some_open)
    @rule(data=st.data())
    def release(self, data: st.DataObject) -> None:
        self.release_hold(self.pick(data, is_open=True))

    def release_hold(self, hold: Held) -> None:
        ask = self.by(key=self.key(), run=hold.run)
        if not all(leg.settled for leg in hold.legs.values()):
            with pytest.raises(ConflictError):
                self.do(lambda books: books.release(**ask))
            return
        back = self.do(lambda books: books.release(**ask))
        assert to_micro(back) == self.auditor.end(hold, now=self.now)
        assert self.books.release(**ask) == back
        ask["key"] = self.key()
        assert self.books.release(**ask) == 0

    @rule()
    def expire(self) -> None:
        """Sweep; the legs of every second run are still there."""
        self.do(lambda books: books.expire(now=self.now, is_gone=lambda run, _: _is_gone(run)))
        for hold in list(self.auditor.holds.values()):
            legs = [leg for leg in hold.legs.values() if not leg.settled]
            leased_until = max((leg.start for leg in hold.legs.values()), default=NOON)
            leased_until += timedelta(seconds=1 if hold.legs else 0)
            due = hold.is_open and hold.expires_at <= self.now and leased_until <= self.now
            if due and (not legs or _is_gone(hold.run)):
                for leg in legs:
                    at = leg.until or leg.start
                    rest = {(at, "unknown"): hold.left} if hold.left else {}
                    self.auditor.spend(hold, leg, {**leg.quarters, **rest}, now=self.now)
                    leg.settled = True
                    leg.until = None
                self.auditor.end(hold, now=self.now)

    @rule(name=st.sampled_from(["org", "a", "b"]), amount=st.integers(-5_000_000, 5_000_000))
    def adjust(self, name: str, amount: int) -> None:
        limit = self.auditor.limits[name]
        ask = self.by(key=self.key(), budget=name, amount_usd=from_micro(amount))
        if limit.cap(self.now) + amount < max(limit.charged[limit.key(self.now)], 0):
            with pytest.raises(BadInputError):
                self.do(lambda books: books.adjust(**ask))
            return
        self.do(lambda books: books.adjust(**ask))
        limit.adjusted[limit.key(self.now)] += amount
        self.auditor.move_limit(name, now=self.now)
        self.books.adjust(**ask)

    @rule(name=st.sampled_from(["org", "a", "b"]), limit_usd=st.integers(0, 40))
    def set_limit(self, name: str, limit_usd: int) -> None:
        limit = self.auditor.limits[name]
        key = limit.key(self.now)
        entries = [
            {**entry, "limit_usd": str(from_micro(self.auditor.limits[entry["name"]].limit))}
            for entry in EVERY_KIND
        ]
        for entry in entries:
            if entry["name"] == name:
                entry["limit_usd"] = limit_usd
        wanted = limit_usd * 1_000_000
        if wanted != limit.limit and wanted + limit.adjusted[key] < limit.charged[key]:
            with pytest.raises(BadInputError):
                self.do(lambda books: books.set_budgets(tree(*entries), **self.by()))
            return
        self.do(lambda books: books.set_budgets(tree(*entries), **self.by()))
        limit.limit = wanted
        limit.past[self.now] = wanted
        self.auditor.move_limit(name, now=self.now)
        assert self.books.set_budgets(tree(*entries), **self.by()) == ()

    @precondition(lambda self: self.some_leg)
    @rule(data=st.data(), name=st.sampled_from(["org", "a", "b"]))
    def close_a_period(self, data: st.DataObject, name: str) -> None:
        limit = self.auditor.limits[name]
        at = data.draw(st.sampled_from(sorted(self.pick(data, legs=True).legs.items())))[1].start
        ask = self.by(budget=name, at=at)
        if limit.key(at) == limit.key(self.now):
            with pytest.raises(BadInputError):
                self.do(lambda books: books.close_period(**ask))
            return
        closed = self.do(lambda books: books.close_period(**ask))
        assert to_micro(closed.charged_usd) == limit.charged[limit.key(at)]
        limit.close(at, now=self.now)
        self.auditor.move_limit(name, now=self.now)

    @invariant()
    def every_balance_is_the_auditors(self) -> None:
        for days in (0, 8):
            at = self.now - timedelta(days=days)
            states = {state.name: state for state in self.books.budgets(at)}
            for name, limit in self.auditor.limits.items():
                if name not in states:
                    continue
                key = limit.key(at)
                assert to_micro(states[name].held_usd) == self.auditor.held_on(name)
                assert to_micro(states[name].charged_usd) == limit.charged[key]
                assert to_micro(states[name].limit_usd) == limit.limit + limit.adjusted[key]

    @invariant()
    def every_hold_is_the_auditors(self) -> None:
        for run, held in self.auditor.holds.items():
            (hold,) = self.books.holds(run)
            stored = (hold.amount_usd, hold.charged_usd, hold.overdraft_usd, hold.released_usd)
            expected = (held.amount, held.charged, held.overdraft, held.released)
            assert tuple(map(to_micro, stored)) == expected
            assert hold.is_open is held.is_open
            assert hold.is_open or hold.amount_usd == hold.charged_usd + hold.released_usd

    @invariant()
    def the_journal_adds_up_to_the_balances(self) -> None:
        assert self.books.check() == ()

    @invariant()
    def thresholds_were_crossed_once_and_for_a_reason(self) -> None:
        crossings = self.books.crossings()
        noted = [
            (
                each.budget,
                self.auditor.limits[each.budget].key(each.period_start),
                each.percent,
                each.of.value,
            )
            for each in crossings
        ]
        assert len(noted) == len(set(noted))
        observed = {name for name, _, _, _ in noted} & {"free"}
        assert not observed
        assert {row for row in self.auditor.must_have_crossed if row[0] != "free"} <= set(noted)
        for name, key, percent, figure in noted:
            highest = self.auditor.highest[name, key, figure]
            assert highest * 100 >= percent * self.auditor.lowest_cap[name, key]


def _is_gone(run: str) -> bool:
    return run[-1] in "02468"
