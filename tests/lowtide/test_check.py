import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given, strategies as st

from lowtide.check import Check, Option, check_training_budget
from lowtide.errors import BadInputError
from lowtide.forecast import PastRun
from lowtide.job import TrainingJob, parse_job
from lowtide.legs import Capacity
from lowtide.prices import PriceBook, parse_book
from lowtide.verdict import RefusalReason, Refused
from tests.effort import at_most
from tests.lowtide.books import book

ROOT = Path(__file__).resolve().parents[2]
NOON = datetime(2026, 11, 23, 12, tzinfo=UTC)


def example(name: str) -> TrainingJob:
    return parse_job(yaml.safe_load((ROOT / "examples" / "llm" / name).read_text()))


@pytest.fixture
def shipped() -> PriceBook:
    """The price book that comes with lowtide."""
    path = ROOT / "blocks" / "books" / "specification.yaml"
    return parse_book(yaml.safe_load(path.read_text()), source=path.name)


def job(**changes: Any) -> TrainingJob:
    return parse_job(
        {"name": "llm", "command": ["train"], "epochs": 10, "expected_epoch_s": 3600, **changes}
    )


def checked(
    asked: TrainingJob, *, budget: str = "100", prices: PriceBook | None = None, **more: Any
) -> Check:
    result = check_training_budget(
        asked, budget_usd=Decimal(budget), book=prices or book(), now=NOON, **more
    )
    assert isinstance(result, Check)
    return result


def option(result: Check, kind: str) -> Option:
    return next(option for option in result.options if option.kind == kind)


def test_workflow_1_of_the_specification_to_the_cent(shipped: PriceBook) -> None:
    result = checked(example("job.yaml"), budget="5", prices=shipped)

    assert not result.feasible
    assert result.forecast_usd.p50 == Decimal("6.50")
    assert result.over_usd == Decimal("1.50")
    assert result.utilisation_pct == 130.0
    assert option(result, "off-peak").cost_usd.p50 == Decimal("3.25")
    assert option(result, "spot").cost_usd.p50 == Decimal("1.95")
    assert [one.kind for one in result.options if one.fits_budget][:2] == ["spot", "off-peak"]


def test_the_larger_batch_says_what_it_assumes(shipped: PriceBook) -> None:
    larger = option(checked(example("job.yaml"), budget="5", prices=shipped), "batch-size")

    assert larger.cost_usd.p50 == Decimal("5.416667")
    assert "assumes that an epoch is 1.2 times faster" in larger.why
    assert "nobody measured it" in larger.why
    assert "convergence is unknown" in larger.why
    assert not larger.fits_budget


@pytest.mark.parametrize("hour", range(0, 24, 3))
def test_the_time_of_the_question_does_not_change_the_figures(
    shipped: PriceBook, hour: int
) -> None:
    result = check_training_budget(
        example("job.yaml"),
        budget_usd=Decimal(5),
        book=shipped,
        now=datetime(2026, 11, 23, hour, 17, tzinfo=UTC),
    )

    assert isinstance(result, Check)
    assert result.forecast_usd.p50 == Decimal("6.50")
    assert option(result, "off-peak").cost_usd.p50 == Decimal("3.25")


def test_ten_models_of_four_gpu_hours_cost_ten_dollars(shipped: PriceBook) -> None:
    one = checked(example("four-gpu-hours.yaml"), prices=shipped).forecast_usd.p50

    assert (10 * one, 2 * one) == (Decimal(10), Decimal(2))


def test_the_verdict_is_taken_on_the_hold_and_tells_the_gap() -> None:
    result = checked(job(), budget="3")

    verdict = result.verdict()

    assert result.forecast_usd.p50 == Decimal("2.50")
    assert result.over_usd == 0
    assert verdict is not None
    assert verdict.reason is RefusalReason.BUDGET
    assert verdict.gap_usd == result.quote.hold_usd - 3
    assert "$2.50" in verdict.message
    assert "run on spot" in verdict.remedy


def test_what_fits_has_no_verdict_against_it_and_still_has_options() -> None:
    result = checked(job(), budget="100")

    assert result.feasible
    assert result.verdict() is None
    assert {"spot", "off-peak", "batch-size"} <= {one.kind for one in result.options}
    assert "epochs" not in {one.kind for one in result.options}


def test_where_nothing_fits_the_verdict_says_so() -> None:
    verdict = checked(job(epochs=1000), budget="0.0001").verdict()

    assert verdict is not None
    assert verdict.remedy == "raise the budget, or train less"


def test_as_many_epochs_as_fit_are_offered_and_not_one_more() -> None:
    result = checked(job(), budget="1")

    fewer = option(result, "epochs")

    epochs = int(fewer.change["epochs"])
    assert fewer.quote.hold_usd <= 1
    assert checked(job(epochs=epochs + 1), budget="1").quote.hold_usd > 1
    assert fewer.cost_usd.p50 == Decimal("0.25") * epochs


def test_the_time_to_save_a_checkpoint_is_paid_for_too() -> None:
    """A grace of an hour: an epoch costs 0.375 at most, and the grace 0.25."""
    asked = job(checkpoint={"grace_s": 3600})

    fewer = option(checked(asked, budget="1.60"), "epochs")

    assert fewer.change == {"epochs": 3}
    assert fewer.quote.hold_usd <= Decimal("1.60")


def test_what_fits_comes_before_what_does_not() -> None:
    """For a dollar only the larger batch on spot and two epochs fit."""
    result = checked(job(), budget="1")

    fits = [one.fits_budget for one in result.options]

    assert fits == sorted(fits, reverse=True)
    assert [one.kind for one in result.options if one.fits_budget] == ["epochs", "spot+batch-size"]


def test_what_changes_the_training_comes_after_what_does_not() -> None:
    result = checked(job(), budget="100")

    changes = [one.way.changes_training for one in result.options]

    assert changes == sorted(changes)


def test_off_peak_is_not_offered_to_what_is_urgent() -> None:
    kinds = {one.kind for one in checked(job(priority="urgent")).options}

    assert not any("off-peak" in kind for kind in kinds)


def test_spot_is_not_offered_where_the_book_has_none() -> None:
    kinds = {one.kind for one in checked(job(), prices=book(spot=None)).options}

    assert not any("spot" in kind for kind in kinds)


def test_an_unknown_interruption_rate_is_not_made_up() -> None:
    found = option(checked(job(), prices=book(interruption_rate=None)), "spot")

    assert "interrupted" not in found.why


def test_options_that_miss_the_deadline_come_later_and_say_so() -> None:
    result = checked(job(epochs=4, deadline=(NOON + timedelta(hours=9)).isoformat()), budget="9")

    assert option(result, "spot").meets_deadline is True
    assert option(result, "off-peak").meets_deadline is False
    assert result.options[0].kind == "spot"
    assert [one.meets_deadline for one in result.options] == sorted(
        (one.meets_deadline for one in result.options), key=lambda met: not met
    )


def test_a_job_too_long_for_a_year_of_nights_is_not_laid_out() -> None:
    kinds = {one.kind for one in checked(job(epochs=4_000)).options}

    assert "off-peak" not in kinds
    assert "spot" in kinds


def test_past_runs_count_before_the_jobs_own_word() -> None:
    past = [PastRun(epoch_s=(7200.0,) * 10)]

    result = checked(job(), history=past)

    assert result.forecast_usd.p50 == Decimal("5.00")
    assert result.quote.time.based_on == "history"


def test_epochs_and_batch_size_may_differ_from_the_jobs() -> None:
    result = checked(job(), epochs=2, batch_size=128)

    assert result.asked.epochs == 2
    assert result.forecast_usd.p50 == Decimal("0.416667")


def test_without_an_estimate_the_check_is_refused_with_advice() -> None:
    result = check_training_budget(
        job(expected_epoch_s=None), budget_usd=Decimal(5), book=book(), now=NOON
    )

    assert isinstance(result, Refused)
    assert result.reason is RefusalReason.FORECAST_UNKNOWN
    assert "expected_epoch_s" in result.remedy


def test_an_unknown_price_is_refused_and_never_counts_as_nothing() -> None:
    result = check_training_budget(
        job(), budget_usd=Decimal(5), book=book(), now=datetime(1999, 1, 1, tzinfo=UTC)
    )

    assert isinstance(result, Refused)
    assert result.reason is RefusalReason.PRICE_UNKNOWN


@pytest.mark.parametrize(
    ("changes", "where"),
    [
        ({"budget_usd": Decimal(0)}, "budget_usd"),
        ({"budget_usd": Decimal("NaN")}, "budget_usd"),
        ({"epochs": 0}, "epochs"),
        ({"batch_size": -1}, "batch_size"),
    ],
)
def test_what_is_no_positive_number_is_named(changes: dict[str, Any], where: str) -> None:
    asked: dict[str, Any] = {"budget_usd": Decimal(5), **changes}

    with pytest.raises(BadInputError, match=f"^{where}: nothing can be checked with it"):
        check_training_budget(job(), book=book(), now=NOON, **asked)


def test_a_flavor_that_the_book_lacks_is_named() -> None:
    with pytest.raises(BadInputError, match="no such flavor"):
        checked(job(resources={"flavor": "h900"}))


def test_the_document_has_the_contracts_keys_and_is_json() -> None:
    document = checked(job(), budget="1").document()

    assert json.loads(json.dumps(document, allow_nan=False)) == document
    contract = "feasible budget_usd forecast_usd hold_usd utilisation_pct finish options"
    assert set(contract.split()) <= set(document)
    contract = (
        "rank kind flavor capacity start finish cost_usd saves_usd meets_deadline fits_budget "
        "why change"
    )
    for rank, one in enumerate(document["options"], 1):
        assert set(contract.split()) <= set(one)
        assert one["rank"] == rank
    assert document["forecast_usd"]["p50"] == "2.500000"


def by_hand(kind: str, epochs: int) -> Decimal:
    """The specification's prices, an hour an epoch."""
    rates: dict[str, Callable[[], Decimal]] = {
        "spot": lambda: Decimal("0.075"),
        "off-peak": lambda: Decimal("0.125"),
    }
    return rates[kind]() * epochs


@at_most(30)
@given(epochs=st.integers(1, 60), budget=st.decimals("0.05", "20", places=2))
def test_options_are_priced_and_judged_right_whatever_is_asked(
    epochs: int, budget: Decimal
) -> None:
    result = checked(job(epochs=epochs), budget=str(budget))

    for kind in ("spot", "off-peak"):
        assert option(result, kind).cost_usd.p50 == by_hand(kind, epochs)
    for one in result.options:
        assert one.fits_budget == (one.quote.hold_usd <= budget)
        assert one.saves_usd == result.forecast_usd.p50 - one.cost_usd.p50
        assert one.cost_usd.p10 <= one.cost_usd.p50 <= one.cost_usd.p90 <= one.quote.hold_usd
        assert (one.way.capacity is Capacity.SPOT) == ("spot" in one.kind)
