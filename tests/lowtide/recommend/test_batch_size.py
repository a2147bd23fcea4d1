from decimal import Decimal

import pytest

from lowtide.advice import AdviceKind
from lowtide.forecast import PastRun
from lowtide.recommend import Signals
from tests.lowtide.recommend.records import advice, found, only, record

KIND = AdviceKind.BATCH_SIZE


def past(batch_size: int, epoch_s: float) -> PastRun:
    return PastRun(epoch_s=(epoch_s,), batch_size=batch_size)


def test_a_half_idle_gpu_and_low_noise_ask_for_a_doubled_batch() -> None:
    """50 % busy: epochs three quarters as long. Noise 6,400, batch 64: 1.0099 times the examples."""
    signals = Signals(gpu_utilization=(0.5,) * 10, noise_scale=(6400.0,) * 10)

    item = only(advice(record(signals=signals)), KIND)

    assert item.evidence["proposed_batch_size"] == 128
    assert item.evidence["epoch_ratio"] == 0.75
    assert item.evidence["examples_ratio"] == pytest.approx(1.0099, abs=1e-4)
    assert item.saving_pct == pytest.approx(100 * (1 - 0.75 * 1.0099), abs=0.1)
    assert item.confidence == "medium"
    assert item.action == "lowtide train r-000000000001 --set batch_size=128"


def test_without_a_noise_scale_it_says_throughput_only() -> None:
    item = only(advice(record(signals=Signals(gpu_utilization=(0.5,) * 10))), KIND)

    assert "throughput only" in item.description
    assert "unknown" in item.description
    assert item.confidence == "low"
    assert item.saving_usd.p10 == 0
    assert item.saving_usd.p50 == Decimal("0.625")


def test_a_batch_beyond_the_noise_scale_stays_as_it_is() -> None:
    """Noise 32, batch 64: the doubled batch needs 1.67 times the examples."""
    signals = Signals(gpu_utilization=(0.5,) * 10, noise_scale=(32.0,) * 10)

    assert found(advice(record(signals=signals)), KIND) == []


def test_a_busy_gpu_gains_nothing() -> None:
    assert found(advice(record(signals=Signals(gpu_utilization=(0.99,) * 10))), KIND) == []


def test_without_utilisation_and_history_nobody_knows() -> None:
    assert found(advice(record(signals=Signals(noise_scale=(6400.0,) * 10))), KIND) == []


def test_measured_batch_sizes_count_before_utilisation() -> None:
    history = [past(32, 90), past(64, 60)]
    signals = Signals(gpu_utilization=(0.99,) * 10)

    item = only(advice(record(signals=signals), history=history), KIND)

    assert item.evidence["epoch_ratio"] == pytest.approx(0.75)
    assert "beyond the measured" in item.evidence["epoch_ratio_basis"]


def test_a_batch_size_that_nobody_told_is_not_doubled() -> None:
    run = record(signals=Signals(gpu_utilization=(0.5,) * 10), assumed=frozenset({"batch_size"}))

    assert found(advice(run), KIND) == []


def test_noise_that_varies_widens_the_range() -> None:
    noise = (64.0, 640.0, 6400.0, 64_000.0, 64_000.0)
    signals = Signals(gpu_utilization=(0.4,) * 10, noise_scale=noise)

    saving = only(advice(record(signals=signals)), KIND).saving_usd

    assert saving.p10 < saving.p50 < saving.p90
