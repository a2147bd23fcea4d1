"""The epochs of a job that has not started, at any batch size."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from lowtide.forecast.batch import BatchModel, batch_model
from lowtide.forecast.calibration import PastRun
from lowtide.forecast.ranges import Range
from lowtide.forecast.remaining import TimeForecast, forecast_time
from lowtide.job import TrainingJob
from lowtide.verdict import Refused


@dataclass(frozen=True, slots=True, kw_only=True)
class Unstarted:
    """What is known of a job's epochs before it starts.

    Attributes:
        model: Seconds of an epoch by batch size.
        basis: The forecast of one epoch that the model rests on.
    """

    model: BatchModel
    basis: TimeForecast

    def time(self, *, epochs: int, batch_size: int) -> TimeForecast:
        """Forecast a whole run.

        Args:
            epochs: Epochs to train, >= 1.
            batch_size: Samples in one step, >= 1.
        """
        each = self.model.at(batch_size)
        stated = self.model.stated(batch_size)
        return replace(
            self.basis,
            epochs_remaining=epochs,
            epoch_s=each,
            time_remaining_s=each.times(epochs),
            calibrated=self.basis.calibrated and stated is None,
            explanation=self.basis.explanation + (f"; {stated}" if stated else ""),
        )


def unstarted(job: TrainingJob, *, history: Sequence[PastRun] = ()) -> Unstarted | Refused:
    """Say what is known of a job's epochs: past runs first, then what the job states.

    Args:
        job: What is to be trained.
        history: Past runs, newest first; of those of the same job, the ones without a batch size
            are taken to have had the job's.

    Returns:
        What is known, or `Refused` when nothing is.

    Examples:
        >>> job = TrainingJob(name="llm", command=["train"], epochs=5, expected_epoch_s=18720)
        >>> unstarted(job).time(epochs=5, batch_size=64).time_remaining_s.p50 / 3600
        26.0
    """
    runs = [
        replace(run, batch_size=run.batch_size or job.batch_size)
        for run in history
        if run.same_job
    ]
    basis = forecast_time(
        (),
        epochs_total=1,
        expected_epoch_s=job.expected_epoch_s,
        history=[run for run in runs if run.batch_size == job.batch_size],
    )
    here_s: Range | None = None if isinstance(basis, Refused) else basis.epoch_s
    model = batch_model(runs, batch_size=job.batch_size, epoch_s=here_s)
    if isinstance(basis, Refused):
        if model is None:
            return basis
        basis = _elsewhere(model)
    assert model is not None  # noqa: S101 - a forecast makes a model
    return Unstarted(model=model, basis=basis)


def _elsewhere(model: BatchModel) -> TimeForecast:
    sizes = ", ".join(str(size) for size in model.batch_sizes)
    return TimeForecast(
        epochs_done=0,
        epochs_remaining=1,
        epoch_s=model.epoch_s,
        time_remaining_s=model.epoch_s,
        calibrated=False,
        based_on="history",
        explanation=f"no epoch was measured; past runs of the job with batch sizes of {sizes}",
    )
