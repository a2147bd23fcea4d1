"""Policies: what a run should do now, as one pure function of what is known.

decide(observation)          run on spot, run on demand, wait or stop, with the reason
Observation                  all that is known; `document` and `read_observation` store it
lateness(observation)        how late the run may be, and what would still save it
Sightings().seen(...)        what was seen of spot, one sighting at a time
fit_zone(recordings)         how spot comes and goes, from recordings; `PRIOR` is the shipped one
"""

from lowtide.policy.deciding import POLICIES, decide
from lowtide.policy.lateness import Lateness, lateness
from lowtide.policy.observation import Observation, Tariff, read_observation
from lowtide.policy.sightings import Sightings
from lowtide.policy.zone import NO_SPOT, PRIOR, Recording, Zone, fit_zone

__all__ = [
    "NO_SPOT",
    "POLICIES",
    "PRIOR",
    "Lateness",
    "Observation",
    "Recording",
    "Sightings",
    "Tariff",
    "Zone",
    "decide",
    "fit_zone",
    "lateness",
    "read_observation",
]
