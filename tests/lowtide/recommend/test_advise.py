import json
from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given, strategies as st

from lowtide.advice import AdviceKind
from lowtide.errors import BadInputError
from lowtide.prices import PriceUnknownError
from lowtide.progress import Fault
from lowtide.recommend import Signals, Usage
from lowtide.steps import Outcome
from tests.effort import at_most
from tests.lowtide.books import book
from tests.lowtide.recommend.records import advice, flat_from, found, job, record

MIDNIGHT = datetime(2026, 11, 24, tzinfo=UTC)


def test_the_specifications_five_on_one_run() -> None:
    """Epochs of ten minutes on a half busy GPU, flat from epoch 20 on, at noon and on demand."""
    run = record(
        epoch_s=[600.0] * 60,
        values=flat_from(20, 60),
        signals=Signals(gpu_utilization=(0.5,) * 60),
    )

    kinds = {item.kind for item in advice(run).recommendations}

    assert kinds == {
        AdviceKind.BATCH_SIZE,
        AdviceKind.TRAINING_EFFICIENCY,
        AdviceKind.OFF_PEAK,
        AdviceKind.SPOT,
        AdviceKind.EARLY_STOPPING,
    }


def test_the_one_that_saves_most_comes_first() -> None:
    savings = [item.saving_usd.p50 for item in advice(record()).recommendations]

    assert savings == sorted(savings, reverse=True)


def test_savings_that_overlap_are_priced_together_and_not_added() -> None:
    """Half by night and, on its own, two thirds by stopping early; together five sixths."""
    run = record(epoch_s=[120.0] * 60, values=flat_from(12, 60))
    given_advice = advice(run, prices=None)
    early = found(given_advice, AdviceKind.EARLY_STOPPING)[0].saving_usd.p50
    spot = found(given_advice, AdviceKind.SPOT)[0].saving_usd.p50
    together = given_advice.combined_saving_usd.p50

    assert max(early, spot) < together < early + spot
    assert together < given_advice.cost_usd


def test_stopping_early_leaves_the_same_share_of_a_faster_run() -> None:
    """By night and without spot: doubling the batch takes 3/4 of it, stopping leaves 25 of 60."""
    run = record(
        epoch_s=[60.0] * 60,
        values=flat_from(20, 60),
        start=MIDNIGHT,
        signals=Signals(gpu_utilization=(0.5,) * 60),
    )

    given_advice = advice(run, prices=book(spot=None))

    left = 1 - float(given_advice.combined_saving_usd.p50 / given_advice.cost_usd)
    assert {item.kind for item in given_advice.recommendations} == {
        AdviceKind.BATCH_SIZE,
        AdviceKind.EARLY_STOPPING,
    }
    assert left == pytest.approx(0.75 * 25 / 60, abs=1e-3)


def test_a_run_cut_short_fits_one_night_and_pays_for_no_pause() -> None:
    """13 hours of which a start takes one too many; 26 epochs of half an hour, 13 are enough."""
    run = record(epoch_s=[5400.0, *[1800.0] * 25], values=flat_from(8, 26))

    given_advice = advice(run, prices=book(spot=None))

    early = found(given_advice, AdviceKind.EARLY_STOPPING)[0]
    kept_h = (5400.0 + 1800.0 * 25 - early.evidence["seconds_after"]) / 3600
    assert kept_h < 8
    efficiency = found(given_advice, AdviceKind.TRAINING_EFFICIENCY)
    spared = sum(item.evidence["share"] / 2 for item in efficiency)
    left_usd = float(given_advice.cost_usd - given_advice.combined_saving_usd.p50)
    assert left_usd == pytest.approx(0.125 * kept_h * (1 - spared), rel=1e-3)


@pytest.mark.parametrize(
    ("outcome", "got"),
    [(None, "still running"), (Outcome.FAILED, "failed"), (Outcome.REFUSED, "refused")],
)
def test_a_run_that_did_not_end_well_is_one_clear_message(
    outcome: Outcome | None, got: str
) -> None:
    with pytest.raises(BadInputError, match=f"run 'r-000000000001': .* got {got}"):
        advice(record(outcome=outcome))


def test_a_run_none_of_whose_legs_ran_is_one_too() -> None:
    with pytest.raises(BadInputError, match="without a leg that ran"):
        advice(record(legs=()))


@pytest.mark.parametrize(
    "fault", [Fault.NO_METRIC, Fault.NOT_A_NUMBER, Fault.OUT_OF_ORDER, Fault.REPEATED]
)
def test_a_faulty_series_is_told_and_what_rests_on_it_left_out(fault: Fault) -> None:
    sound = record(epoch_s=[600.0] * 60, values=flat_from(20, 60))
    faulty = replace(sound, progress=replace(sound.progress, faults=(fault,)))

    given_advice = advice(faulty)

    assert given_advice.faults == (fault,)
    assert len(given_advice.notes) == 1
    if fault is not Fault.NO_METRIC:
        assert found(given_advice, AdviceKind.EARLY_STOPPING) == []
    assert found(given_advice, AdviceKind.OFF_PEAK) != []


def test_an_out_of_order_series_times_nothing() -> None:
    sound = record(epoch_s=[6000.0, *[600.0] * 20])
    faulty = replace(sound, progress=replace(sound.progress, faults=(Fault.OUT_OF_ORDER,)))

    assert found(advice(sound), AdviceKind.TRAINING_EFFICIENCY) != []
    assert found(advice(faulty), AdviceKind.TRAINING_EFFICIENCY) == []
    assert found(advice(faulty), AdviceKind.SPOT) == []


def test_a_run_that_lowtide_did_not_submit_is_priced_as_assumed_and_says_so() -> None:
    run = record(
        assumed=frozenset({"resources", "batch_size", "priority"}),
        signals=Signals(gpu_utilization=(0.5,) * 10),
        usage=Usage(cpus=0.1),
    )

    given_advice = advice(run)

    assert {item.confidence for item in given_advice.recommendations} == {"low"}
    assert "assumed" in given_advice.recommendations[0].confidence_reason
    assert "resources" in given_advice.notes[0]
    assert found(given_advice, AdviceKind.BATCH_SIZE) == []


def test_a_run_before_any_price_is_refused() -> None:
    with pytest.raises(PriceUnknownError):
        advice(record(start=datetime(1999, 1, 1, tzinfo=UTC)))


def test_a_run_that_cost_nothing_has_nothing_to_save() -> None:
    given_advice = advice(record(of=job(resources={"gpus": 0})))

    assert given_advice.cost_usd == 0
    assert given_advice.combined_saving_usd.p90 == 0
    assert all(item.saving_pct == 0 for item in given_advice.recommendations)


def test_without_advice_nothing_is_saved_together() -> None:
    run = record(epoch_s=[], legs=record(epoch_s=[60.0], start=MIDNIGHT).legs)

    given_advice = advice(run)

    assert given_advice.recommendations == ()
    assert given_advice.combined_saving_usd.p50 == 0


def test_the_document_has_the_contracts_keys_and_is_json() -> None:
    run = record(signals=Signals(gpu_utilization=(0.5,) * 10, noise_scale=(900.0,) * 10))

    document = advice(run).document()

    assert json.loads(json.dumps(document, allow_nan=False)) == document
    assert {"run", "recommendations", "combined_saving_usd"} <= set(document)
    contract = (
        "kind description saving_usd saving_pct confidence confidence_reason evidence risk action"
    )
    for item in document["recommendations"]:
        assert set(contract.split()) == set(item)


@at_most(60)
@given(
    epochs=st.integers(1, 40),
    epoch_s=st.floats(1, 4000),
    flat=st.integers(1, 40),
    busy=st.one_of(st.none(), st.floats(0, 1)),
    noise=st.one_of(st.none(), st.floats(1, 1e6)),
    hour=st.integers(0, 23),
    priority=st.sampled_from(["urgent", "normal", "background"]),
    waited_s=st.one_of(st.none(), st.floats(0, 1000)),
)
def test_whatever_the_run_its_savings_are_in_order_and_within_its_cost(
    epochs: int,
    epoch_s: float,
    flat: int,
    busy: float | None,
    noise: float | None,
    hour: int,
    priority: str,
    waited_s: float | None,
) -> None:
    asked: dict[str, Any] = {"of": job(priority=priority, epochs=epochs), "waited_s": waited_s}
    run = record(
        epoch_s=[epoch_s] * epochs,
        values=flat_from(flat, epochs),
        start=datetime(2026, 11, 23, hour, tzinfo=UTC),
        signals=Signals(
            gpu_utilization=() if busy is None else (busy,) * epochs,
            noise_scale=() if noise is None else (noise,) * epochs,
        ),
        **asked,
    )

    given_advice = advice(run)

    for item in given_advice.recommendations:
        assert item.saving_usd.p10 <= item.saving_usd.p50 <= item.saving_usd.p90
        assert 0 <= item.saving_usd.p50 <= given_advice.cost_usd
        assert given_advice.combined_saving_usd.p50 >= item.saving_usd.p50
        assert item.action
        assert item.risk
    assert given_advice.combined_saving_usd.p50 <= given_advice.cost_usd
    total = sum((item.saving_usd.p50 for item in given_advice.recommendations), Decimal(0))
    assert given_advice.combined_saving_usd.p50 <= total + Decimal("0.00001")
