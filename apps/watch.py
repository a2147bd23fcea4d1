"""Shows a run while it goes on: from the ledger alone, whoever owns the run."""

import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn
from rich.table import Column

from apps.output import notice
from blocks.ledger import Books
from blocks.owner import is_dead
from lowtide.events import EventKind
from lowtide.ledger.records import RunRow
from lowtide.money import show_usd
from lowtide.words import show_duration

_POLL_S = 0.3


@dataclass(slots=True, kw_only=True)
class Watch:
    """Follows one run to its end.

    Attributes:
        ledger: Where the run is.
        run: Its id.
        alive: Says whether somebody still works on the run.
    """

    ledger: Books
    run: str
    alive: Callable[[], bool]
    _seen: set[str] = field(default_factory=set[str])

    def to_the_end(self) -> RunRow | None:
        """Show progress until the run has ended, or nobody works on it any more.

        Returns:
            The run as it is then; None if it was never written down.
        """
        if not sys.stderr.isatty():
            return self._follow(self._line, lambda text: notice(f"{self.run}: {text}"))
        columns = (
            TextColumn("{task.description}", table_column=Column(no_wrap=True, min_width=14)),
            BarColumn(bar_width=20),
            TextColumn("{task.fields[told]}", table_column=Column(no_wrap=True, ratio=1)),
        )
        with Progress(*columns, console=Console(stderr=True), expand=True) as bar:
            drawn = bar.add_task("waiting", total=None, told="")
            return self._follow(
                lambda body: self._draw(bar, drawn, body),
                lambda text: bar.update(drawn, told=text),
            )

    def _follow(
        self, tell: Callable[[dict[str, Any]], None], wait: Callable[[str], None]
    ) -> RunRow | None:
        while True:
            working = self.alive()
            row = self.ledger.run(self.run)
            if row is not None:
                self._tell_new(tell)
                self._tell_wait(row, wait)
            if row is not None and not row.state.unfinished and not self._owned(row):
                return row
            if not working and (row is None or not self._owned(row)):
                return row
            time.sleep(_POLL_S)

    def _owned(self, row: RunRow) -> bool:
        owner = row.live_owner(now=datetime.now(UTC))
        return owner is not None and not is_dead(owner)

    def _tell_new(self, tell: Callable[[dict[str, Any]], None]) -> None:
        for event in self.ledger.events(self.run, kind=EventKind.EPOCH):
            if event.key not in self._seen:
                self._seen.add(event.key)
                tell(dict(event.body))

    def _tell_wait(self, row: RunRow, wait: Callable[[str], None]) -> None:
        """Pass on what the run waits for, each reason once."""
        if row.state.unfinished and row.message and row.message not in self._seen:
            self._seen.add(row.message)
            wait(row.message)

    def _line(self, body: dict[str, Any]) -> None:
        notice(f"{self.run}: epoch {body['epochs_done']} of {body['epochs']}, {_told(body)}")

    def _draw(self, bar: Progress, drawn: TaskID, body: dict[str, Any]) -> None:
        bar.update(
            drawn,
            description=f"epoch {body['epochs_done']}/{body['epochs']}",
            total=body["epochs"],
            completed=body["epochs_done"],
            told=_told(body),
        )


def _told(body: dict[str, Any]) -> str:
    cost, left = body["cost_remaining_usd"], body["time_remaining_s"]
    parts = [
        f"metric {body['metric']:.4f}" if body["metric"] is not None else "no metric yet",
        f"{show_duration(left['p50'])} left",
        f"{_usd(cost['p10'])} to {_usd(cost['p90'])} to come",
    ]
    if body["charged_usd"] is not None:
        parts.append(f"{_usd(body['charged_usd'])} charged")
        parts.append(f"{_usd(body['held_usd'])} held")
    return ", ".join(parts)


def _usd(text: str) -> str:
    return show_usd(Decimal(text))
