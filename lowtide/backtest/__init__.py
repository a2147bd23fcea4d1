"""Back-tests: recorded spot capacity, replayed through the very function that decides for real.

parse_trace(document, name=...)              a recording, its meaning said and never guessed
cut(trace, windows, ...)                     windows of it, with prices
simulate(market, ask, policy=...)            one job, one window, one policy
offline_optimum(markets, ask)                the cheapest in hindsight
score(markets, ask, policies=...)            all of it, as a table
Replay(trace=..., speed=...)                 a recording played against the clock
"""

from lowtide.backtest.market import MIDNIGHT, Market, cut
from lowtide.backtest.optimum import offline_optimum
from lowtide.backtest.replay import Replay
from lowtide.backtest.score import Cell, Scores, score
from lowtide.backtest.simulate import Ask, Result, simulate
from lowtide.backtest.traces import Trace, Values, parse_trace
from lowtide.backtest.windows import draw_windows, parse_windows

__all__ = [
    "MIDNIGHT",
    "Ask",
    "Cell",
    "Market",
    "Replay",
    "Result",
    "Scores",
    "Trace",
    "Values",
    "cut",
    "draw_windows",
    "offline_optimum",
    "parse_trace",
    "parse_windows",
    "score",
    "simulate",
]
