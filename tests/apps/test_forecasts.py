"""The best metric to expect, beside the time and the money."""

from dataclasses import replace

import pytest

from apps.forecasts import metric_ahead
from apps.texts import forecast_text
from lowtide.progress import Fault, Progress
from tests.lowtide.recommend.records import job, progress

JOB = job(epochs=40)


def climbing(epochs: int) -> Progress:
    return progress([60.0] * epochs, values=[0.9 - 0.5 / n for n in range(1, epochs + 1)])


def test_early_a_curve_says_more_than_the_best_so_far() -> None:
    found = metric_ahead(JOB, climbing(10))

    assert found["metric_reason"] is None
    assert found["metric"]["based_on"] == "curve"
    assert found["metric"]["p50"] > 0.85
    assert found["metric"]["p10"] <= found["metric"]["p50"] <= found["metric"]["p90"]


@pytest.mark.parametrize(
    ("seen", "reason"),
    [
        (None, "no epoch that can be trusted"),
        (replace(climbing(10), faults=(Fault.OUT_OF_ORDER,)), "no epoch that can be trusted"),
        (climbing(2), "fewer than 4 values of val_accuracy"),
    ],
)
def test_what_nobody_knows_is_null_with_a_reason(seen: Progress | None, reason: str) -> None:
    found = metric_ahead(JOB, seen)

    assert found["metric"] is None
    assert reason in found["metric_reason"]


def test_a_person_reads_where_it_comes_from() -> None:
    document = {
        "run": "r-000000000001",
        "epochs_remaining": 30,
        "time_remaining_s": {"p10": 1700.0, "p50": 1800.0, "p90": 2000.0},
        "cost_usd": {"p10": "0.1", "p50": "0.12", "p90": "0.14"},
        "explanation": "the mean of 10 epochs",
        **metric_ahead(JOB, climbing(10)),
    }

    last = forecast_text(document, named="digits").splitlines()[-1]

    assert last.startswith("best val_accuracy to expect 0.8")
    assert last.endswith("from a curve through its values")
