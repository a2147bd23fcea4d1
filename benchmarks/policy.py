"""Policies on public recordings of spot capacity: the known bars, and the judgement of `adaptive`.

    python -m benchmarks.policy [bars] [estimates] [judge] [unseen] [speed] [ablation] [every=N]

* Bars: what is known of greedy and uniform progress on eight recordings of October 2022 (2,400 windows,
  48 h of work) must come out again within 0.2 points of saving, with no deadline missed.
* Estimates: with a wrong forecast of the work, put right after 5 % of it, uniform progress must miss
  none either: it works from the first hour on. What the others miss, who may wait before any work is
  done, is told.
* Judge: over nine cells of deadline and changeover, `adaptive` learns from four recordings and is judged
  on the other four, both ways; the gap closed is the share of what lies between uniform progress and
  the optimum in hindsight. One half is of machines with one device, the other of machines with eight,
  which come and go faster: harder than to divide them by zone.
* Unseen: what is learnt from all eight is judged on recordings of 2023, which were made in another way
  and on which nothing was tuned.
* Speed: on one core.

`every=N` takes every Nth window: a first look in a fraction of the time, whose lines mean nothing. Needs
the public data.
"""

import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from benchmarks._asked import a_plan, decision, middle_ms
from benchmarks._recordings import (
    CHANGEOVERS_H,
    DEADLINES_H,
    HOUR_S,
    ON_DEMAND_USD,
    WORK_H,
    Recordings,
    ask_of,
    everything,
    replay,
)
from benchmarks.public_series import data_folder
from lowtide.backtest import Ask, Market, offline_optimum
from lowtide.job import PolicyName
from lowtide.policy import Zone, adaptive, fit_zone

_TOLERANCE_POINTS = 0.2
_WORST_POINTS = -2.0
_SHARE_LINE_PCT = 30.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Bar:
    """What is known of two policies, per cent of saving."""

    deadline_h: float
    changeover_h: float
    greedy_pct: float
    uniform_progress_pct: float


BARS = (
    Bar(deadline_h=60, changeover_h=0.2, greedy_pct=21.3, uniform_progress_pct=27.3),
    Bar(deadline_h=52, changeover_h=0.2, greedy_pct=12.4, uniform_progress_pct=16.7),
    Bar(deadline_h=70, changeover_h=0.2, greedy_pct=27.8, uniform_progress_pct=33.4),
    Bar(deadline_h=52, changeover_h=0.05, greedy_pct=15.2, uniform_progress_pct=27.4),
    Bar(deadline_h=70, changeover_h=0.05, greedy_pct=33.3, uniform_progress_pct=41.9),
)


def show_bars(recordings: Recordings) -> bool:
    """Print the known policies beside what is known of them."""
    print("saving against on demand, %: here (known)")
    held = True
    for bar in BARS:
        markets = everything(recordings.markets(bar.deadline_h))
        ask = ask_of(bar.deadline_h, bar.changeover_h)
        greedy = replay(markets, ask, PolicyName.GREEDY)
        uniform = replay(markets, ask, PolicyName.UNIFORM_PROGRESS)
        optimum_usd = offline_optimum(markets, ask)
        optimum_pct = 100 * (1 - float(optimum_usd.mean()) / (ON_DEMAND_USD * WORK_H))
        off = max(
            abs(greedy.saving_pct - bar.greedy_pct),
            abs(uniform.saving_pct - bar.uniform_progress_pct),
        )
        missed = greedy.missed + uniform.missed
        held &= off <= _TOLERANCE_POINTS and missed == 0
        print(
            f"  {bar.deadline_h:g} h, changeover {bar.changeover_h:g} h:"
            f" greedy {greedy.saving_pct:.2f} ({bar.greedy_pct}),"
            f" uniform progress {uniform.saving_pct:.2f} ({bar.uniform_progress_pct}),"
            f" optimum {optimum_pct:.2f}; {len(markets)} windows, {missed} missed"
        )
    print(_line("within 0.2 points, none missed", held=held))
    return held


def show_estimates(recordings: Recordings) -> bool:
    """Print what a wrong forecast does, put right after 5 % of the work, on a fourth of the windows."""
    print("a wrong forecast, put right after 5 % of the work: saving, % (missed)")
    markets = everything(recordings.markets(60.0))[::4]
    missed = 0
    for error in (-0.3, -0.2, -0.1, 0.0, 0.1, 0.2, 0.3):
        ask = ask_of(60.0, 0.2, estimate_error=error, corrected_at=0.05)
        told = f"  {100 * error:+.0f} %:"
        for policy in (PolicyName.GREEDY, PolicyName.UNIFORM_PROGRESS, PolicyName.ADAPTIVE):
            replayed = replay(markets, ask, policy)
            missed += replayed.missed if policy is PolicyName.UNIFORM_PROGRESS else 0
            told += f" {policy.value} {replayed.saving_pct:.1f} ({replayed.missed})"
        print(told, flush=True)
    print(_line("none missed by uniform progress", held=missed == 0))
    return missed == 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Judged:
    """One recording in one cell, by mean costs."""

    deadline_h: float
    changeover_h: float
    trace: str
    uniform_usd: float
    adaptive_usd: float
    optimum_usd: float
    missed: int

    @property
    def points(self) -> float:
        """How much more `adaptive` saves than uniform progress, in points."""
        return 100 * (self.uniform_usd - self.adaptive_usd) / (ON_DEMAND_USD * WORK_H)


def closed_pct(judged: Sequence[Judged]) -> float:
    """Return the share of the gap that `adaptive` closes, per cent."""
    saved = sum(one.uniform_usd - one.adaptive_usd for one in judged)
    return 100 * saved / sum(one.uniform_usd - one.optimum_usd for one in judged)


def judge(
    markets_by: Callable[[float], Mapping[str, Sequence[Market]]], zones: Mapping[str, Zone]
) -> list[Judged]:
    """Judge `adaptive` in nine cells.

    Args:
        markets_by: Returns the windows for a deadline in hours, by the name of their recording.
        zones: What it assumes, by recording.
    """
    judged: list[Judged] = []
    for deadline_h in DEADLINES_H:
        markets = markets_by(deadline_h)
        for changeover_h in CHANGEOVERS_H:
            ask = ask_of(deadline_h, changeover_h)
            cell = [
                _judged(name, windows, ask, zone=zones[name]) for name, windows in markets.items()
            ]
            worst = min(cell, key=lambda one: one.points)
            print(
                f"  {deadline_h:g} h, changeover {changeover_h:g} h: {closed_pct(cell):5.1f} % closed;"
                f" worst recording {worst.points:+.2f} points ({worst.trace}),"
                f" {sum(one.missed for one in cell)} missed",
                flush=True,
            )
            judged += cell
    return judged


def crosswise(recordings: Recordings) -> dict[str, Zone]:
    """Return for each recording what is learnt from the half that it is not in."""
    zones: dict[str, Zone] = {}
    first, second = recordings.halves()
    for learnt, unseen in ((first, second), (second, first)):
        zone = fit_zone([trace.recording for trace in learnt])
        zones |= {trace.name: zone for trace in unseen}
    return zones


def _judged(name: str, windows: Sequence[Market], ask: Ask, *, zone: Zone) -> Judged:
    uniform = replay(windows, ask, PolicyName.UNIFORM_PROGRESS)
    adaptive = replay(windows, ask, PolicyName.ADAPTIVE, zone=zone)
    return Judged(
        deadline_h=ask.deadline_s / HOUR_S,
        changeover_h=ask.changeover_s / HOUR_S,
        trace=name,
        uniform_usd=float(uniform.usd.mean()),
        adaptive_usd=float(adaptive.usd.mean()),
        optimum_usd=float(offline_optimum(windows, ask).mean()),
        missed=adaptive.missed,
    )


def show_judgement(recordings: Recordings) -> bool:
    """Print how much of the gap `adaptive` closes."""
    print("adaptive, learnt on four recordings and judged on the other four, both ways")
    return _verdict(judge(recordings.markets, crosswise(recordings)))


def show_unseen(recordings: Recordings) -> bool:
    """Print how much of the gap `adaptive` closes on recordings of another year."""
    print("adaptive, learnt on the eight recordings of 2022 and judged on those of 2023")
    zone = fit_zone([trace.recording for trace in recordings.traces])
    return _verdict(
        judge(recordings.later_markets, {trace.name: zone for trace in recordings.later})
    )


def _verdict(judged: Sequence[Judged]) -> bool:
    _sum_up(judged)
    means = by_recording(judged)
    least = min(means, key=lambda name: means[name])
    print(f"  each recording over all nine: {means[least]:+.2f} points at the least ({least})")
    missed = sum(one.missed for one in judged)
    worst = min(one.points for one in judged)
    held = closed_pct(judged) >= _SHARE_LINE_PCT and worst >= _WORST_POINTS and missed == 0
    print(_line("30 % closed, none worse by 2 points, none missed", held=held))
    return held


def by_recording(judged: Sequence[Judged]) -> dict[str, float]:
    """Return how much more `adaptive` saves on each recording, in points, over all cells."""
    names = dict.fromkeys(one.trace for one in judged)
    return {
        name: float(np.mean([one.points for one in judged if one.trace == name])) for name in names
    }


def show_ablation(recordings: Recordings) -> bool:
    """Print what `adaptive` is worth with one part changed; minutes for each."""
    own = {trace.name: fit_zone([trace.recording]) for trace in recordings.traces}
    print("adaptive with each recording's own hazards (learnt on what it is judged on)")
    _sum_up(judge(recordings.markets, own))
    zones = crosswise(recordings)
    kept_share = adaptive.KEPT_SHARE
    for share in (0.0, 0.4, 0.8):
        print(
            f"adaptive with {share:g} of uniform progress's slack kept instead of {kept_share:g}"
        )
        adaptive.KEPT_SHARE = share
        try:
            _sum_up(judge(recordings.markets, zones))
        finally:
            adaptive.KEPT_SHARE = kept_share
    return True


def _sum_up(judged: Sequence[Judged]) -> None:
    worst = min(one.points for one in judged)
    worse = sum(one.points < _WORST_POINTS for one in judged)
    missed = sum(one.missed for one in judged)
    print(
        f"  all nine: {closed_pct(judged):.1f} % closed, worst {worst:+.2f} points, {worse} of"
        f" {len(judged)} pairs worse by 2, {missed} missed",
        flush=True,
    )


def _line(what: str, *, held: bool) -> str:
    return f"  {what}: {'yes' if held else 'MISSED'}"


def show_speed(recordings: Recordings) -> bool:
    """Print how long back-tests, decisions and plans take."""
    return all([*_speeds(recordings)])


def _speeds(recordings: Recordings) -> Iterator[bool]:
    print("speed, one core")
    markets = everything(recordings.markets(60.0))
    ask = ask_of(60.0, 0.2)
    began, began_cpu = time.perf_counter(), time.process_time()
    for policy in (
        PolicyName.RUN_NOW,
        PolicyName.GREEDY,
        PolicyName.UNIFORM_PROGRESS,
        PolicyName.ADAPTIVE,
    ):
        replay(markets, ask, policy)
    took_s, core_s = time.perf_counter() - began, time.process_time() - began_cpu
    # One thread: what the core was lent to others meanwhile is no part of it.
    print(f"  {len(markets)} windows, four policies: {core_s:.1f} s of a core, in {took_s:.1f} s")
    yield core_s < 30
    print(_line("under 30 s of one core", held=core_s < 30))
    for policy in PolicyName:
        one_ms = middle_ms(decision(policy))
        print(f"  decide, {policy.value}: {one_ms:.3f} ms")
        yield one_ms < 1
    plan_ms = middle_ms(a_plan(), times=21)
    print(f"  plan of 14 days in steps of 5 minutes, 6 flavors: {plan_ms:.1f} ms")
    yield plan_ms < 50
    print(_line("under 50 ms", held=plan_ms < 50))


SECTIONS: Mapping[str, Callable[[Recordings], bool]] = {
    "bars": show_bars,
    "estimates": show_estimates,
    "judge": show_judgement,
    "unseen": show_unseen,
    "speed": show_speed,
    "ablation": show_ablation,
}
ONLY_BY_NAME = frozenset({"ablation"})
"""Sections that take too long to be run unasked."""


def main(names: Sequence[str]) -> int:
    """Run the sections named, or all."""
    folder = data_folder()
    if folder is None:
        print("the public data is not here; LOWTIDE_DATA names its folder")
        return 0
    every = next((int(name.removeprefix("every=")) for name in names if "=" in name), 1)
    recordings = Recordings(folder, every=every)
    sections = [name for name in names if "=" not in name]
    unasked = [name for name in SECTIONS if name not in ONLY_BY_NAME]
    held = [SECTIONS[name](recordings) for name in sections or unasked]
    if not all(held):
        print("lines were missed; the figures above are what was measured")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
