from decimal import Decimal

import pytest

from lowtide.advice import AdviceKind, Recommendation
from lowtide.recommend import RunRecord, Signals
from tests.lowtide.recommend.records import advice, found, record

MINUTE_S = 60.0


def findings(run: RunRecord) -> dict[str, Recommendation]:
    return {
        item.evidence["finding"]: item
        for item in found(advice(run), AdviceKind.TRAINING_EFFICIENCY)
    }


def minutes(*changed: tuple[int, float], epochs: int = 30) -> list[float]:
    """Epochs of a minute, some of them longer."""
    epoch_s = [MINUTE_S] * epochs
    for epoch, times in changed:
        epoch_s[epoch] *= times
    return epoch_s


def test_an_efficient_run_of_short_epochs_is_left_alone() -> None:
    assert findings(record(epoch_s=minutes())) == {}


def test_a_gpu_idle_in_every_epoch_is_told_with_what_a_busy_one_would_take() -> None:
    """14 % of 70 %: four fifths of the time could go, two fifths are likely."""
    run = record(epoch_s=minutes(), signals=Signals(gpu_utilization=(0.14,) * 30))

    item = findings(run)["idle-gpu"]

    assert item.evidence["share"] == pytest.approx(0.8)
    assert item.saving_usd.p10 == 0
    assert item.saving_usd.p50 == Decimal("0.05")
    assert item.saving_usd.p90 == Decimal("0.10")


def test_one_busy_epoch_and_it_is_no_idle_gpu() -> None:
    busy = (*[0.1] * 29, 0.3)

    assert "idle-gpu" not in findings(
        record(epoch_s=minutes(), signals=Signals(gpu_utilization=busy))
    )


@pytest.mark.parametrize("logged", [(), (0.1,) * 29])
def test_unknown_is_not_idle(logged: tuple[float, ...]) -> None:
    run = record(epoch_s=minutes(), signals=Signals(gpu_utilization=logged))

    assert findings(run) == {}


def test_a_slow_first_epoch_costs_what_it_took_beyond_the_others() -> None:
    item = findings(record(epoch_s=minutes((0, 10))))["slow-first-epoch"]

    assert item.evidence["extra_s"] == 540
    assert item.saving_usd.p90 == Decimal("0.037500")
    assert item.saving_usd.p50 == Decimal("0.018750")


def test_a_first_epoch_like_the_others_is_none() -> None:
    assert findings(record(epoch_s=minutes((0, 1.4)))) == {}


def test_a_single_epoch_has_nothing_to_be_slow_beside() -> None:
    assert findings(record(epoch_s=[MINUTE_S])) == {}


def test_stalled_epochs_are_named() -> None:
    item = findings(record(epoch_s=minutes((5, 4), (17, 3), (20, 5))))["data-stalls"]

    assert item.evidence["epochs"] == [6, 18, 21]
    assert item.evidence["extra_s"] == 540


def test_slow_epochs_in_a_cycle_are_evaluation_or_checkpoints() -> None:
    item = findings(record(epoch_s=minutes(*((n, 2) for n in range(4, 30, 5)))))["slow-cycle"]

    assert item.description.startswith("Every 5 epochs one is slow")


def test_a_short_stall_is_not_worth_reading() -> None:
    assert findings(record(epoch_s=minutes((5, 1.5)))) == {}


def test_long_epochs_without_a_known_utilisation_save_nobody_knows_what() -> None:
    item = findings(record())["long-epochs"]

    assert "What that saves is unknown" in item.description
    assert item.saving_usd.p90 == 0
    assert item.confidence == "low"


def test_long_epochs_of_a_half_busy_gpu_save_up_to_its_target() -> None:
    item = findings(record(signals=Signals(gpu_utilization=(0.35,) * 10)))["long-epochs"]

    assert item.evidence["share"] == pytest.approx(0.5)
    assert "unknown" not in item.description


def test_an_idle_gpu_explains_long_epochs() -> None:
    run = record(signals=Signals(gpu_utilization=(0.1,) * 10))

    assert set(findings(run)) == {"idle-gpu"}


def test_epochs_of_five_minutes_are_not_long() -> None:
    assert findings(record(epoch_s=[300.0] * 10)) == {}
    assert set(findings(record(epoch_s=[301.0] * 10))) == {"long-epochs"}


def test_without_epochs_nothing_is_known() -> None:
    run = record()
    silent = record(epoch_s=[], legs=run.legs)

    assert findings(silent) == {}
