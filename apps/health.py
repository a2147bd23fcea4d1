"""What `lowtide doctor` looks at."""

import importlib.metadata
import platform
import shutil
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from apps import stack
from apps.books import open_ledger, price_book
from blocks.settings import Settings
from blocks.tracking import Tracking
from lowtide.errors import LowtideError
from lowtide.job import Where
from lowtide.money import show_usd

_PACKAGES = ("prefect", "mlflow", "sqlalchemy", "pydantic", "kubernetes")
_FREE_GIB_MIN = 1.0
_GIB = 2**30


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One thing that was looked at.

    Attributes:
        what: What it is.
        told: What was found, and where it is wrong what to do.
        ok: Whether it is as it should be.
    """

    what: str
    told: str
    ok: bool = True

    def document(self) -> dict[str, Any]:
        """Return the finding as `doctor --json` prints it."""
        return {"what": self.what, "told": self.told, "ok": self.ok}


def findings(settings: Settings) -> list[Finding]:
    """Look at versions, paths, the stack, the price book and the books.

    Args:
        settings: Where everything is.

    Returns:
        What was found, in the order in which things depend on each other.
    """
    return [
        *_versions(),
        _disk(settings.home),
        *_stack(settings),
        *_cluster(settings),
        _checked("price book", lambda: f"version {_price_version(settings)}"),
        _checked("ledger", lambda: _books(settings)),
    ]


def _versions() -> Iterator[Finding]:
    yield Finding(what="python", told=platform.python_version())
    for package in _PACKAGES:
        yield Finding(what=package, told=importlib.metadata.version(package))


def _disk(home: Path) -> Finding:
    home.mkdir(parents=True, exist_ok=True)
    free_gib = shutil.disk_usage(home).free / _GIB
    return Finding(
        what="home", told=f"{home}, {free_gib:.0f} GiB free", ok=free_gib >= _FREE_GIB_MIN
    )


def _stack(settings: Settings) -> Iterator[Finding]:
    parts = stack.running(settings)
    for name in ("prefect", "mlflow", "worker"):
        part = parts.get(name)
        told = "not running; `lowtide up` starts it" if part is None else f"process {part.pid}"
        yield Finding(what=name, told=told, ok=part is not None)
    address = settings.tracking_address
    if address is not None:
        with closing(Tracking(uri=address)) as tracking:
            answers = tracking.answers()
        yield Finding(
            what="MLflow",
            told=f"{address} {'answers' if answers else 'does not answer; see its log'}",
            ok=answers,
        )


def _cluster(settings: Settings) -> Iterator[Finding]:
    """Say what would keep legs from running on the cluster, where jobs are to run on it."""
    if settings.where is not Where.KUBERNETES:
        told = "not looked at: jobs run here unless they say otherwise (LOWTIDE_WHERE)"
        yield Finding(what="cluster", told=told)
        return
    from blocks.cluster.doctor import findings as cluster_findings
    from blocks.world import open_cluster  # imports Prefect

    try:
        cluster = open_cluster(settings)
        wrong = cluster_findings(cluster)
    except LowtideError as error:
        wrong = (str(error),)
    for told in wrong:
        yield Finding(what="cluster", told=told, ok=False)
    if not wrong:
        queue = f"queue {settings.queue!r}" if settings.queue else "no queue"
        told = f"namespace {settings.namespace!r}, {queue}: legs can run"
        yield Finding(what="cluster", told=told)


def _price_version(settings: Settings) -> str:
    return ", ".join(price_book(settings).versions)


def _books(settings: Settings) -> str:
    wrong = open_ledger(settings).check()
    if wrong:
        first = wrong[0]
        msg = (
            f"{len(wrong)} figures differ from the journal; the first: {first.where}, stored "
            f"{show_usd(first.stored_usd)}, by the journal {show_usd(first.journal_usd)}"
        )
        raise LowtideError(msg, remedy="keep the database file and report it")
    return f"{settings.ledger_address}: balances equal the journal"


def _checked(what: str, look: Callable[[], str]) -> Finding:
    try:
        return Finding(what=what, told=look())
    except LowtideError as error:
        return Finding(what=what, told=str(error), ok=False)
