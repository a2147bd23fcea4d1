"""Plans: ranked ways to run a job, when, on what, for how much, finished by when.

plan_ask(job, ...)           what a plan is made from
make_plan(PlanAsk(...))      the options in order; `.best`, `.verdict`, `.document()`

Where rates are known the answer is exact: `lowtide.planning` finds the cheapest single stretch and
the cheapest stretches. Where spot capacity comes and goes nothing is known for sure, so futures of
the zone are drawn and the very policy that would decide is replayed on each; what it costs is then a
range, and what may go wrong is said in words.
"""

from lowtide.plan.asking import plan_ask
from lowtide.plan.ranked import make_plan
from lowtide.plan.records import Kind, Plan, PlanAsk, PlanOption, Spot

__all__ = ["Kind", "Plan", "PlanAsk", "PlanOption", "Spot", "make_plan", "plan_ask"]
