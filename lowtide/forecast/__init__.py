"""What a run will still take and cost, with its doubt.

An estimate of the mean epoch still to come (`pace`), its errors on past runs (`calibration`), and
from both the remaining time (`remaining`) and, through the price book, the cost (`cost`).
"""

from lowtide.forecast.calibration import PastRun
from lowtide.forecast.cost import breach_probability, forecast_cost, moved
from lowtide.forecast.ranges import Range
from lowtide.forecast.remaining import TimeForecast, forecast_time

__all__ = [
    "PastRun",
    "Range",
    "TimeForecast",
    "breach_probability",
    "forecast_cost",
    "forecast_time",
    "moved",
]
