"""The outside world of one flow: every block it talks to, in one value that a test can replace."""

from datetime import datetime
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field

from blocks.clock import Clock
from blocks.events import Events
from blocks.ledger import Books
from blocks.ledger.book import Operations
from blocks.local.cluster import LocalCluster
from blocks.prices import Prices
from blocks.runner import Runner
from blocks.scheduler import Scheduler
from blocks.settings import Settings
from blocks.tracking import Tracking
from lowtide.errors import UnavailableError


class World(BaseModel):
    """What a flow needs from outside.

    Flows take it as a parameter, so a test passes another one and patches nothing.
    """

    model_config = ConfigDict(frozen=True, arbitrary_types_allowed=True)

    ledger: Operations = Field(description="Who may spend what, and who did.")
    tracking: Tracking = Field(description="Where programs log their epochs.")
    runner: Runner = Field(description="What runs the legs.")
    prices: Prices = Field(description="What time costs.")
    clock: Clock = Field(default_factory=Clock, description="What time it is.")
    scheduler: Scheduler = Field(
        default_factory=Scheduler, description="What starts a deferred run again."
    )
    events: Events = Field(default_factory=Events, description="Who is told what happened.")
    checkpoints: Path = Field(description="Folder of the runs' checkpoints.")
    reports: Path = Field(description="Folder of the runs' reports.")

    def close(self) -> None:
        """Let go of connections; using the world again opens them again."""
        self.ledger.close()
        self.tracking.close()

    def now(self) -> datetime:
        """Return the time."""
        return self.clock.now()


def open_world(settings: Settings) -> World:
    """Return the world that the settings describe.

    Args:
        settings: Where the parts are.

    Returns:
        The world, nothing contacted yet.

    Raises:
        UnavailableError: no tracking server is named and none was started.
    """
    tracking = settings.tracking_address
    if tracking is None:
        msg = "no MLflow server is known"
        remedy = "run `lowtide up`, or set MLFLOW_TRACKING_URI"
        raise UnavailableError(msg, where="settings", remedy=remedy)
    return World(
        ledger=Books(url=settings.ledger_address),
        tracking=Tracking(uri=tracking),
        runner=LocalCluster(home=settings.legs_folder),
        prices=Prices(source=settings.prices),
        checkpoints=settings.checkpoints_folder,
        reports=settings.reports_folder,
    )
