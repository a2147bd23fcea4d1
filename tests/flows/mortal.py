"""Runs a train flow that kills itself at a given place: `python mortal.py PLACE FOLDER ASK.json`.

A real SIGKILL of a real process: no `finally`, no hook, no exit handler runs.
"""

import os
import signal
import sys
from datetime import datetime
from pathlib import Path
from typing import Any, ClassVar

from pydantic import PrivateAttr
from typing_extensions import override

from blocks.ledger import Books
from blocks.local.cluster import LocalCluster
from blocks.settings import Settings
from flows.train import train
from lowtide.ask import TrainAsk
from lowtide.events import EventKind
from lowtide.legs import LegSpec, LegStatus
from tests.flows.conftest import world_in


class MortalCluster(LocalCluster):
    """A local runner in whose middle the flow's process dies."""

    _block_type_slug: ClassVar[str | None] = "mortal-cluster"
    _place: str = PrivateAttr(default="")
    _ledger: Any = PrivateAttr(default=None)

    @override
    def start(self, spec: LegSpec, *, now: datetime) -> str:
        self._die_at("before-start")
        handle = super().start(spec, now=now)
        self._die_at("after-start")
        return handle

    @override
    def status(self, run: str, leg: int, *, now: datetime) -> LegStatus:
        if self._ledger.events(run, kind=EventKind.EPOCH):
            self._die_at("mid-epoch")
        status = super().status(run, leg, now=now)
        if status.phase == "ended":
            self._die_at("ended")
        return status

    @override
    def forget(self, run: str, leg: int) -> None:
        self._die_at("settled")
        super().forget(run, leg)

    def _die_at(self, place: str) -> None:
        if place == self._place:
            os.kill(os.getpid(), signal.SIGKILL)


class MortalBooks(Books):
    """Books in whose middle the flow's process dies: after a hold, or before a note is written."""

    def __init__(self, url: str, *, place: str) -> None:
        super().__init__(url)
        self.place = place

    @override
    def hold(self, *args: Any, **named: Any) -> Any:
        held = super().hold(*args, **named)
        self._die_at("held")
        return held

    @override
    def log(self, *args: Any, **named: Any) -> Any:
        self._die_at(f"before-{named['kind']}")
        return super().log(*args, **named)

    def _die_at(self, place: str) -> None:
        if place == self.place:
            os.kill(os.getpid(), signal.SIGKILL)


def main() -> None:
    place, folder, ask = sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3])
    world = world_in(folder, Settings())
    books = world.ledger
    assert isinstance(books, Books)
    mortal = MortalCluster(home=folder / "legs")
    mortal._place = place
    mortal._ledger = world.ledger
    train(
        TrainAsk.model_validate_json(ask.read_text(encoding="utf-8")),
        world.model_copy(update={"runner": mortal, "ledger": MortalBooks(books.url, place=place)}),
    )


if __name__ == "__main__":
    main()
