"""What a run sees of spot, what is learnt from recordings, and the slack that is kept for a bad guess."""

from datetime import timedelta

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st

from lowtide.decision import Action
from lowtide.job import PolicyName
from lowtide.legs import Capacity
from lowtide.policy import PRIOR, Recording, Sightings, decide, fit_zone
from lowtide.policy.adaptive import KEPT_SHARE
from lowtide.policy.paths import draw_paths
from lowtide.policy.zone import SHORT_S
from tests.effort import at_most
from tests.lowtide.policy.test_decide import HOUR_S, NOON, seen_at


def sighted(*stretches: tuple[bool, float]) -> Sightings:
    """Return what was seen of stretches, one after the other, each at its beginning only."""
    spot, now = Sightings(), NOON
    for available, lasted_s in stretches:
        spot = spot.seen(now, available=available, usd_per_h=0.3)
        now += timedelta(seconds=lasted_s)
    return spot


def test_the_last_absence_and_the_last_presence_are_remembered_until_the_next_ones_end() -> None:
    first = sighted((True, 600.0))
    second = sighted((True, 600.0), (False, 7200.0))
    third = sighted((True, 600.0), (False, 7200.0), (True, 60.0))
    fourth = sighted((True, 600.0), (False, 7200.0), (True, 60.0), (False, 1.0))

    assert (first.presence_s, first.absence_s, first.rhythm) == (None, None, 0)
    assert (second.presence_s, second.absence_s, second.rhythm) == (600.0, None, 2)
    assert (third.presence_s, third.absence_s, third.rhythm) == (600.0, 7200.0, 2)
    assert (fourth.presence_s, fourth.absence_s) == (60.0, 7200.0)


def test_what_nobody_can_see_any_more_has_not_ended() -> None:
    unsure = sighted((False, 300.0), (True, 600.0)).unsure(NOON + timedelta(hours=1))
    again = unsure.seen(NOON + timedelta(hours=5), available=False, usd_per_h=0.3)

    assert (unsure.available, unsure.absence_s, unsure.presence_s) == (None, 300.0, None)
    assert (again.absence_s, again.presence_s) == (300.0, None)
    assert again.age_s(NOON + timedelta(hours=6)) == HOUR_S


def test_a_zone_that_keeps_a_rhythm_is_learnt_as_one() -> None:
    """Hours of ten minutes there and ten absent, then hours of five hours there and one absent."""
    restless = [True, False] * 60
    calm = ([True] * 30 + [False] * 6) * 4
    recording = Recording(available=np.array((restless + calm) * 5), gap_s=600.0)

    zone = fit_zone([recording])

    after_long, _, after_short, _ = zone.up_ends_per_h[0]
    assert after_short > 3 * after_long
    assert min(SHORT_S) > recording.gap_s


def test_futures_keep_the_rhythm_of_their_zone() -> None:
    """Where short follows short and long follows long, futures differ more from each other."""
    rhythmic = PRIOR
    column = [[sum(row) / len(row)] * len(row) for row in PRIOR.up_ends_per_h]
    plain = type(PRIOR)(
        up_ends_per_h=tuple(map(tuple, column)),
        down_ends_per_h=PRIOR.down_ends_per_h,
        share=PRIOR.share,
    )

    changes = [
        np.count_nonzero(np.diff(paths.astype(np.int8), axis=1), axis=1).std()
        for zone in (rhythmic, plain)
        for paths in [
            draw_paths(zone, paths=400, ticks=400, gap_s=600.0, generator=np.random.default_rng(1))
        ]
    ]

    assert changes[0] > changes[1]


@pytest.mark.slow
@settings(at_most(150))
@given(
    hours=st.floats(0.0, 9.0),
    slack_s=st.floats(700.0, 4 * HOUR_S),
    held=st.sampled_from([None, Capacity.ON_DEMAND, Capacity.SPOT]),
    there=st.booleans(),
)
def test_neither_waiting_nor_leaving_on_demand_touches_the_slack_that_is_kept(
    hours: float, slack_s: float, held: Capacity | None, there: bool
) -> None:
    left_s = (10 - hours) * HOUR_S
    work_left_s = max(60.0, left_s - slack_s)
    seen = seen_at(
        hours,
        policy=PolicyName.ADAPTIVE,
        held=held,
        there=there,
        work_left_s=work_left_s,
        work_left_s_p90=work_left_s,
    )
    kept_s = KEPT_SHARE * 4 * HOUR_S * left_s / (10 * HOUR_S)

    action = decide(seen).action

    if action is Action.WAIT:
        assert seen.slack_s >= kept_s
    if held is Capacity.ON_DEMAND and action is Action.RUN_SPOT:
        assert seen.slack_s - seen.changeover_s >= kept_s
