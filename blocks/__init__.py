"""The outside world, one client each; vendor errors become ours here and nowhere else.

The blocks themselves are read from here by name, so that `prefect block register -m blocks` finds
them all. They are imported when they are asked for: the command line reads the books without
Prefect, whose import takes seconds.
"""

from importlib import import_module
from typing import Any

_BLOCKS = {
    "Clock": "blocks.clock",
    "Events": "blocks.events",
    "KubernetesCluster": "blocks.cluster.runner",
    "Ledger": "blocks.ledger.block",
    "LocalCluster": "blocks.local.cluster",
    "Prices": "blocks.prices",
    "Scheduler": "blocks.scheduler",
    "Tracking": "blocks.tracking",
}


def __dir__() -> list[str]:
    return sorted(_BLOCKS)


def __getattr__(name: str) -> Any:  # noqa: ANN401 - one of several block classes
    if name not in _BLOCKS:
        msg = f"module {__name__!r} has no attribute {name!r}"
        raise AttributeError(msg)
    return getattr(import_module(_BLOCKS[name]), name)
