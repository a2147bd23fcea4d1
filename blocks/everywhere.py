"""The runner of all legs: each leg is run, watched and ended where the ledger says that it runs.

The one hard idea: where a leg runs is written down before it is started, and never changes. So nobody
else need know: flows, `reconcile` and the command line ask this runner about any leg of any run.
"""

from collections.abc import Mapping
from datetime import datetime
from typing import ClassVar, Self

from pydantic import HttpUrl, PrivateAttr
from typing_extensions import override

from blocks.ledger.book import Operations
from blocks.runner import Runner
from lowtide.job import Where
from lowtide.legs import LegSpec, LegStatus, StopCause

_RUNS_MAX = 1_000


class Everywhere(Runner):
    """Hands each leg to the runner of its place.

    A leg that the ledger does not know was started nowhere; this machine's runner says so.

    Examples:
        ```python
        runner = Everywhere.of({Where.LOCAL: local, Where.KUBERNETES: cluster}, ledger=books)
        ```
    """

    _block_type_slug: ClassVar[str | None] = "lowtide-everywhere"
    _block_type_name: ClassVar[str | None] = "Lowtide Everywhere"
    _description: ClassVar[str | None] = "Runs each leg where the ledger says that it runs."
    _documentation_url: ClassVar[HttpUrl | None] = HttpUrl(
        "https://example.invalid/lowtide/blocks"
    )

    _places: Mapping[Where, Runner] = PrivateAttr(default_factory=dict[Where, Runner])
    _ledger: Operations | None = PrivateAttr(default=None)
    _known: dict[tuple[str, int], Runner] = PrivateAttr(
        default_factory=dict[tuple[str, int], Runner]
    )

    @classmethod
    def of(cls, places: Mapping[Where, Runner], *, ledger: Operations) -> Self:
        """Return a runner for several places.

        Args:
            places: What runs legs there; every place that a job may name.
            ledger: Where it is written which leg runs where.
        """
        made = cls()
        made._places = places
        made._ledger = ledger
        return made

    @override
    def start(self, spec: LegSpec, *, now: datetime) -> str:
        return self._of(spec.run, spec.leg).start(spec, now=now)

    @override
    def status(self, run: str, leg: int, *, now: datetime) -> LegStatus:
        return self._of(run, leg).status(run, leg, now=now)

    @override
    def set_limit(self, run: str, leg: int, *, limit_s: float) -> float:
        return self._of(run, leg).set_limit(run, leg, limit_s=limit_s)

    @override
    def stop(self, run: str, leg: int, *, cause: StopCause = "stop") -> None:
        self._of(run, leg).stop(run, leg, cause=cause)

    @override
    def logs(self, run: str, leg: int, *, lines_max: int = 50) -> tuple[str, ...]:
        return self._of(run, leg).logs(run, leg, lines_max=lines_max)

    @override
    def legs(self) -> tuple[tuple[str, int], ...]:
        """Return this machine's legs, and those of the ledger's own runs elsewhere.

        A namespace may be shared by people with other ledgers: what is not in ours is not ours to end.
        And where no job of ours was ever sent, nobody is asked.
        """
        rows = () if self._ledger is None else self._ledger.runs(limit=_RUNS_MAX)
        found = list(self._places[Where.LOCAL].legs())
        for where in self._places.keys() - {Where.LOCAL}:
            ours = {row.run for row in rows if row.job.get("where") == where.value}
            if ours:
                found += [leg for leg in self._places[where].legs() if leg[0] in ours]
        return tuple(sorted(found))

    @override
    def forget(self, run: str, leg: int) -> None:
        self._of(run, leg).forget(run, leg)

    @override
    def has_spot(self, where: Where, *, now: datetime) -> bool | None:
        return self._places[where].has_spot(where, now=now)

    @override
    def on_demand_gpus(self, where: Where) -> int | None:
        return self._places[where].on_demand_gpus(where)

    def _of(self, run: str, leg: int) -> Runner:
        found = self._known.get((run, leg))
        if found is not None:
            return found
        rows = () if self._ledger is None else self._ledger.legs(run)
        where = next((Where(row.where) for row in rows if row.leg == leg), None)
        if where is None:
            return self._places[Where.LOCAL]  # not kept: it may be written down any moment
        return self._known.setdefault((run, leg), self._places[where])
