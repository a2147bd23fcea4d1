"""Serves the exporter over HTTP, and asks other services meanwhile whether they answer."""

import threading
from collections.abc import Callable
from http.client import HTTPException
from urllib.error import URLError
from urllib.request import urlopen

from prometheus_client import start_http_server

from apps.books import open_ledger
from apps.metrics import Exporter, registry_of
from apps.output import notice
from apps.reports import known_prices
from blocks.settings import Settings
from lowtide.errors import BadInputError

_PROBE_EVERY_S = 15.0
_ANSWER_S_MAX = 2.0


def serve(*, host: str, port: int, until: threading.Event | None = None) -> None:
    """Serve until told to stop.

    Args:
        host: Address to listen on.
        port: Port; 0: any free one.
        until: Set by whoever wants it to stop; None: only the process's end stops it.

    Raises:
        BadInputError: the address cannot be listened on.
    """
    settings = Settings()
    exporter = Exporter(
        books=open_ledger(settings),
        prices=lambda: known_prices(settings),
        probes=probes_of(settings),
    )
    exporter.catch_up()
    try:
        server, thread = start_http_server(port, addr=host, registry=registry_of(exporter))
    except OSError as error:
        msg = f"cannot listen there: {error.strerror or error}"
        remedy = "end what listens on it, or give another --port"
        raise BadInputError(msg, where=f"{host}:{port}", remedy=remedy) from None
    notice(f"metrics at http://{host}:{server.server_port}/metrics")
    stop = until or threading.Event()
    try:
        while True:
            exporter.probe()
            if stop.wait(_PROBE_EVERY_S):
                break
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def probes_of(settings: Settings) -> dict[str, Callable[[], bool]]:
    """Return what tells whether the other services answer, of those that are known."""
    mlflow, prefect = settings.tracking_address, settings.prefect_address
    found: dict[str, Callable[[], bool]] = {}
    if mlflow is not None:
        found["mlflow"] = lambda: answers(f"{mlflow}/health")
    if prefect is not None:
        found["prefect"] = lambda: answers(f"{prefect}/health")
    return found


def answers(url: str) -> bool:
    """Say whether an address answers well, soon."""
    try:
        with urlopen(url, timeout=_ANSWER_S_MAX) as answer:  # noqa: S310 - from our own settings
            return bool(answer.status < 300)  # noqa: PLR2004 - HTTP's own
    except (URLError, HTTPException, OSError, ValueError):
        return False
