"""What to change next time: recommendations on a finished run, each priced on the run itself.

One module per kind of advice yields proposals from a run's record; `advise` prices them, one by one
and together.
"""

from lowtide.recommend.advise import Advice, plain_recommendation, recommend
from lowtide.recommend.record import PastLeg, RunRecord, Signals, Usage
from lowtide.recommend.tracked import TrackedRun, assumed_job, record_of_tracked

__all__ = [
    "Advice",
    "PastLeg",
    "RunRecord",
    "Signals",
    "TrackedRun",
    "Usage",
    "assumed_job",
    "plain_recommendation",
    "recommend",
    "record_of_tracked",
]
