"""What to change next time: recommendations on a finished run, each priced on the run itself.

One module per kind of advice yields proposals from a run's record; `advise` prices them, one by one
and together.
"""

from lowtide.recommend.advise import Advice, plain_recommendation, recommend
from lowtide.recommend.record import PastLeg, RunRecord, Signals, Usage

__all__ = [
    "Advice",
    "PastLeg",
    "RunRecord",
    "Signals",
    "Usage",
    "plain_recommendation",
    "recommend",
]
