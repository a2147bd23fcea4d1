"""The outside world of one flow: every block it talks to, in one value that a test can replace."""

from datetime import datetime
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from blocks.clock import Clock
from blocks.cluster.runner import KubernetesCluster
from blocks.events import Events
from blocks.everywhere import Everywhere
from blocks.ledger import Books
from blocks.ledger.book import Operations
from blocks.local.cluster import LocalCluster
from blocks.prices import Prices
from blocks.runner import Runner
from blocks.scheduler import Scheduler
from blocks.settings import Settings
from blocks.tracking import Tracking
from lowtide.backtest import Values
from lowtide.documents import explain
from lowtide.errors import BadInputError, UnavailableError
from lowtide.job import Where


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
    books = Books(url=settings.ledger_address)
    return World(
        ledger=books,
        tracking=Tracking(uri=tracking),
        runner=open_runner(settings, ledger=books),
        prices=open_prices(settings),
        checkpoints=settings.checkpoints_folder,
        reports=settings.reports_folder,
    )


def open_runner(settings: Settings, *, ledger: Operations) -> Everywhere:
    """Return what runs legs, on this machine and on the cluster that the settings describe.

    Args:
        settings: Where the parts are.
        ledger: Where it is written which leg runs where.

    Returns:
        The runner; no cluster is contacted before a leg of it is asked for.

    Raises:
        BadInputError: the settings of the cluster are not usable.
    """
    places = {
        Where.LOCAL: LocalCluster(
            home=settings.legs_folder,
            spot_trace=settings.spot_trace,
            spot_values=None if settings.spot_values is None else Values(settings.spot_values),
            spot_speed=settings.spot_speed,
        ),
        Where.KUBERNETES: open_cluster(settings),
    }
    return Everywhere.of(places, ledger=ledger)


def open_prices(settings: Settings) -> Prices:
    """Return the prices that the settings name: a file, a shipped book, a ConfigMap of the cluster."""
    return Prices(source=settings.prices).reading_cluster(open_cluster(settings).config_map)


def open_cluster(settings: Settings) -> KubernetesCluster:
    """Return the cluster that the settings describe, not contacted yet.

    Args:
        settings: Its namespace, its queue, and whatever else a `KubernetesCluster` can be told.

    Raises:
        BadInputError: an unknown key, or a value that cannot be used.
    """
    fields = {"namespace": settings.namespace, "queue": settings.queue, **settings.cluster}
    unknown = sorted(fields.keys() - KubernetesCluster.model_fields.keys())
    if unknown:
        msg = "a cluster has no such setting"
        raise BadInputError(
            msg,
            where="settings: cluster",
            expected=", ".join(sorted(KubernetesCluster.model_fields)),
            got=", ".join(unknown),
            remedy="correct [cluster] in lowtide.toml, or LOWTIDE_CLUSTER",
        )
    try:
        return KubernetesCluster.model_validate(fields)
    except ValidationError as error:
        raise explain(error, source="settings: cluster", schema=None) from None
