"""What a run will still take and cost, with its doubt.

An estimate of the mean epoch still to come (`pace`), its errors on past runs (`calibration`), and
from both the remaining time (`remaining`) and, through the price book, the cost (`cost`). Before a job
starts, its epochs at any batch size (`unstarted`, `batch`).
"""

from lowtide.forecast.batch import BatchModel, batch_model
from lowtide.forecast.calibration import PastRun
from lowtide.forecast.cost import breach_probability, forecast_cost, moved
from lowtide.forecast.ranges import Range
from lowtide.forecast.remaining import TimeForecast, forecast_time
from lowtide.forecast.standing import Standing, worth_telling
from lowtide.forecast.unstarted import Unstarted, unstarted

__all__ = [
    "BatchModel",
    "PastRun",
    "Range",
    "Standing",
    "TimeForecast",
    "Unstarted",
    "batch_model",
    "breach_probability",
    "forecast_cost",
    "forecast_time",
    "moved",
    "unstarted",
    "worth_telling",
]
