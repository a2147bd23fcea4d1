from decimal import Decimal

import pytest

from lowtide.advice import AdviceKind
from lowtide.prices import Rates
from lowtide.recommend import RunRecord, Signals, Usage
from tests.lowtide.books import book
from tests.lowtide.recommend.records import HOUR_S, advice, found, job, only, record

KIND = AdviceKind.RIGHT_SIZING
WITH_CPUS = book(
    on_demand=Rates(
        gpu_usd_per_h=Decimal("0.25"),
        cpu_usd_per_core_h=Decimal("0.04"),
        memory_usd_per_gib_h=Decimal("0.005"),
    )
)


def run(usage: Usage, *, gpus: int = 1, busy: tuple[float, ...] = ()) -> RunRecord:
    resources = {"gpus": gpus, "cpus": 8, "memory_gib": 16}
    return record(
        of=job(resources=resources),
        epoch_s=[HOUR_S] * 4,
        usage=usage,
        signals=Signals(gpu_utilization=busy),
    )


def test_what_was_asked_and_not_used_is_priced() -> None:
    """2 cores and 5 GiB used: 2.5 and 7 asked; 5.5 cores and 9 GiB less for four hours."""
    item = only(advice(run(Usage(cpus=2.0, memory_gib=5.0)), prices=WITH_CPUS), KIND)

    assert item.saving_usd.p50 == 4 * (Decimal("5.5") * Decimal("0.04") + 9 * Decimal("0.005"))
    assert item.action == (
        "lowtide train r-000000000001 --set resources.cpus=2.5 --set resources.memory_gib=7"
    )


def test_where_the_book_does_not_charge_for_it_it_frees_quota() -> None:
    item = only(advice(run(Usage(cpus=2.0))), KIND)

    assert item.saving_usd.p50 == 0
    assert "quota" in item.description


def test_a_request_that_is_used_is_left_alone() -> None:
    assert found(advice(run(Usage(cpus=6.0, memory_gib=12.0)), prices=WITH_CPUS), KIND) == []


def test_what_nobody_measured_is_left_alone() -> None:
    assert found(advice(run(Usage()), prices=WITH_CPUS), KIND) == []


def test_four_gpus_of_which_one_works_are_too_many() -> None:
    item = only(advice(run(Usage(), gpus=4, busy=(0.15,) * 4)), KIND)

    assert item.action.endswith("--set resources.gpus=1")
    assert item.confidence == "low"
    assert item.saving_usd.p10 == 0
    assert item.saving_pct == 75.0


@pytest.mark.parametrize("busy", [(), (0.15,) * 3, (0.15, 0.15, 0.15, 0.6)])
def test_gpus_stay_where_any_epoch_is_unknown_or_busy(busy: tuple[float, ...]) -> None:
    assert found(advice(run(Usage(), gpus=4, busy=busy)), KIND) == []


def test_resources_that_nobody_told_are_left_alone() -> None:
    guessed = record(usage=Usage(cpus=0.1), assumed=frozenset({"resources"}))

    assert found(advice(guessed), KIND) == []
