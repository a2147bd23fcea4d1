"""What is known of a finished run: the ledger's part, the tracking's part, and what nobody told.

Unknown parts are None or empty and stay unknown: a run without `gpu_utilization` is not an idle
one. A run that lowtide did not submit has a job all the same, made up by the caller from what was
logged; `assumed` names the parts of it that nobody told.
"""

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from lowtide.errors import BadInputError
from lowtide.job import TrainingJob
from lowtide.legs import Capacity, LegEnd
from lowtide.progress import Progress
from lowtide.steps import Outcome


@dataclass(frozen=True, slots=True, kw_only=True)
class PastLeg:
    """A leg that ran.

    Attributes:
        started_at: When its program started, aware.
        ended_at: When it ended, aware.
        capacity: On which terms; None: nobody told, taken as on demand.
        end: How it ended; None: nobody told.
        charged_usd: What was charged for it, US dollars; None: nobody told.
    """

    started_at: datetime
    ended_at: datetime
    capacity: Capacity | None = None
    end: LegEnd | None = None
    charged_usd: Decimal | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Signals:
    """What the program logged besides its metric, one value per epoch; empty: nothing.

    Attributes:
        throughput: Samples per second.
        gpu_utilization: Share of the time in which the GPU worked, 0 to 1.
        noise_scale: Gradient noise scale, samples.
        checkpoint_s: Seconds that saving a checkpoint took.
    """

    throughput: tuple[float, ...] = ()
    gpu_utilization: tuple[float, ...] = ()
    noise_scale: tuple[float, ...] = ()
    checkpoint_s: tuple[float, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Usage:
    """The most that the run used of what it asked for; None: nobody measured it.

    Attributes:
        cpus: CPU cores.
        memory_gib: Memory, GiB.
    """

    cpus: float | None = None
    memory_gib: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class RunRecord:
    """A run, as advice needs it.

    Attributes:
        run: Its id.
        job: What was trained.
        outcome: How it ended; None: it has not.
        legs: The legs that ran, oldest first.
        progress: Its epochs.
        signals: What else it logged.
        usage: What it used.
        waited_s: Seconds it waited for capacity before its first leg; None: nobody told.
        spot_lifetime_s: Mean seconds that spot capacity lives here; None: nobody told.
        assumed: Keys of `job` that nobody told.
    """

    run: str
    job: TrainingJob
    outcome: Outcome | None
    legs: tuple[PastLeg, ...]
    progress: Progress
    signals: Signals = Signals()
    usage: Usage = Usage()
    waited_s: float | None = None
    spot_lifetime_s: float | None = None
    assumed: frozenset[str] = frozenset()

    def refuse_unfinished(self) -> None:
        """Raise unless the run ended in a way that advice can be drawn from.

        Raises:
            BadInputError: it still runs, it failed, it was refused, or none of its legs ran.
        """
        if self.outcome is None:
            state, remedy = "still running", "ask again when it has ended"
        elif self.outcome in {Outcome.FAILED, Outcome.REFUSED}:
            state, remedy = self.outcome.value, "ask about a run that trained"
        elif not self.legs:
            state, remedy = "without a leg that ran", "ask about a run that trained"
        else:
            return
        msg = "there is nothing to recommend on this run"
        raise BadInputError(
            msg,
            where=f"run {self.run!r}",
            expected="a run that has ended after training",
            got=state,
            remedy=remedy,
        )
