"""The policies by name, for those who list them without loading what they decide."""

from enum import StrEnum


class PolicyName(StrEnum):
    """The rule that decides when to run and on what."""

    RUN_NOW = "run-now"
    OFF_PEAK = "off-peak"
    GREEDY = "greedy"
    UNIFORM_PROGRESS = "uniform-progress"
    ADAPTIVE = "adaptive"
