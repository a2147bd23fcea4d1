import pytest

from lowtide.forecast import PastRun, Unstarted, unstarted
from lowtide.job import TrainingJob
from lowtide.verdict import RefusalReason, Refused

JOB = TrainingJob(name="digits", command=("train",), epochs=10, batch_size=64)


def known(job: TrainingJob, *history: PastRun) -> Unstarted:
    found = unstarted(job, history=history)
    assert isinstance(found, Unstarted)
    return found


def test_a_job_without_estimate_and_history_is_refused() -> None:
    refused = unstarted(JOB)

    assert isinstance(refused, Refused)
    assert refused.reason is RefusalReason.FORECAST_UNKNOWN


def test_another_batch_size_rests_on_a_stated_assumption() -> None:
    job = JOB.model_copy(update={"expected_epoch_s": 60.0})

    time = known(job).time(epochs=10, batch_size=128)

    assert time.time_remaining_s.p50 == pytest.approx(500)
    assert "1.2 times faster" in time.explanation


def test_runs_without_a_batch_size_had_the_jobs() -> None:
    time = known(JOB, PastRun(epoch_s=(30.0,))).time(epochs=4, batch_size=64)

    assert time.time_remaining_s.p50 == 120
    assert time.based_on == "history"


def test_runs_at_other_batch_sizes_tell_the_jobs_own() -> None:
    runs = (PastRun(epoch_s=(90.0,), batch_size=32), PastRun(epoch_s=(45.0,), batch_size=128))

    time = known(JOB, *runs).time(epochs=1, batch_size=64)

    assert time.time_remaining_s.p50 == pytest.approx(60)
    assert not time.calibrated
    assert "32, 128" in time.explanation


def test_a_calibrated_history_is_no_longer_so_beyond_its_batch_size() -> None:
    found = known(JOB, *(PastRun(epoch_s=(60.0 + n,)) for n in range(20)))

    assert found.time(epochs=2, batch_size=64).calibrated
    assert not found.time(epochs=2, batch_size=128).calibrated
