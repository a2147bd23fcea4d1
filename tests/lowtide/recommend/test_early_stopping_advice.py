from dataclasses import replace
from decimal import Decimal

import pytest

from lowtide.advice import AdviceKind
from lowtide.early_stopping import stop_epoch
from lowtide.job import EarlyStopping
from lowtide.recommend.early_stopping import plateau_epoch, rule_for
from tests.lowtide.recommend.records import advice, flat_from, found, job, only, record, rising

KIND = AdviceKind.EARLY_STOPPING
MINUTE_S = 60.0


def test_sixty_epochs_of_which_twenty_trained_save_the_rest() -> None:
    """Flat from epoch 20 on; patience 3 would do, half more is 5: it stops after epoch 25."""
    run = record(epoch_s=[MINUTE_S] * 60, values=flat_from(20, 60), of=job(epochs=60))

    item = only(advice(run), KIND)

    assert item.evidence["plateau_epoch"] == 20
    assert item.evidence["stopped_epoch"] == 25
    assert item.evidence["seconds_after"] == 35 * MINUTE_S
    assert item.saving_usd.p50 == Decimal("0.145833")
    assert item.saving_usd.p10 < item.saving_usd.p50 < item.saving_usd.p90
    assert item.action == (
        "lowtide train r-000000000001 --set early_stopping.patience=5 --set early_stopping.min_delta=0.004"
    )
    assert "epoch 20 of 60" in item.description


def test_applying_the_command_saves_what_was_promised() -> None:
    values = flat_from(20, 60)
    epoch_s = [400.0, *[MINUTE_S] * 59]
    promised = only(advice(record(epoch_s=epoch_s, values=values)), KIND)
    rule = EarlyStopping(
        patience=promised.evidence["patience"], min_delta=promised.evidence["min_delta"]
    )

    stopped = stop_epoch(values, goal="maximize", early_stopping=rule)

    assert stopped is not None
    applied = record(epoch_s=epoch_s[:stopped], values=values[:stopped])
    saved = advice(record(epoch_s=epoch_s, values=values)).cost_usd - advice(applied).cost_usd
    assert saved == promised.saving_usd.p50


def test_a_metric_that_rises_to_the_end_needs_all_its_epochs() -> None:
    run = record(epoch_s=[MINUTE_S] * 60, values=rising(60))

    assert found(advice(run), KIND) == []


def test_a_plateau_near_the_end_is_not_worth_a_rule() -> None:
    run = record(epoch_s=[MINUTE_S] * 60, values=flat_from(54, 60))

    assert found(advice(run), KIND) == []


@pytest.mark.parametrize("missing", ["metric", "values", "number"])
def test_without_a_curve_nobody_knows(missing: str) -> None:
    values = flat_from(20, 60)
    if missing == "number":
        values[30] = float("nan")
    run = record(
        epoch_s=[] if missing == "values" else [MINUTE_S] * 60,
        values=None if missing == "values" else values,
        legs=record().legs,
        assumed=frozenset({"metric"} if missing == "metric" else ()),
    )

    assert found(advice(run), KIND) == []


def test_the_jobs_own_least_gain_is_kept() -> None:
    asked = job(early_stopping={"patience": 50, "min_delta": 0.05})

    item = only(advice(record(epoch_s=[MINUTE_S] * 60, values=flat_from(20, 60), of=asked)), KIND)

    assert item.evidence["min_delta"] == 0.05


def test_a_loss_that_falls_is_watched_the_other_way() -> None:
    asked = job(metric={"name": "loss", "goal": "minimize"})
    falling = [1 - value for value in flat_from(20, 60)]

    item = only(advice(record(epoch_s=[MINUTE_S] * 60, values=falling, of=asked)), KIND)

    assert item.evidence["plateau_epoch"] == 20


def test_a_pause_in_the_climb_asks_for_more_patience() -> None:
    """Six epochs without a gain, then it climbs again."""
    values = [*flat_from(10, 16), *(0.9 + 0.09 * n / 10 for n in range(1, 11)), *[0.99] * 34]

    rule = rule_for(values, goal="maximize")

    assert rule is not None
    assert rule.patience == 12
    assert stop_epoch(values, goal="maximize", early_stopping=rule) == 38


def test_no_rule_fits_a_curve_without_values() -> None:
    assert rule_for([None, None], goal="maximize") is None
    assert plateau_epoch([None, None], goal="maximize", min_delta=0) is None


def test_the_tail_of_a_run_without_known_durations_is_its_share() -> None:
    whole = record(epoch_s=[MINUTE_S] * 60, values=flat_from(20, 60))
    blind = replace(whole.progress, epoch_s=(), warm_ups=())

    item = only(advice(record(epoch_s=[], legs=whole.legs, progress=blind)), KIND)

    assert item.evidence["seconds_after"] == pytest.approx(35 * MINUTE_S)
