"""What whole runs noted about their epochs, for forecasts to learn from."""

import json
from collections.abc import Mapping
from typing import Any, NamedTuple

from sqlalchemy import Connection, Integer, Text, and_, bindparam, cast, select, union_all

from blocks.ledger.engine import Store, reads
from blocks.ledger.schema import EVENT, RUN
from lowtide.events import EventKind
from lowtide.ledger.records import RunState


class Lesson(NamedTuple):
    """What a run noted when its epochs were over; a tuple, for hundreds are read at once.

    Attributes:
        name: Name of its job.
        job: The job's document; None where the run was of another name.
        body: The note.
    """

    name: str
    job: Mapping[str, Any] | None
    body: Mapping[str, Any]


class Lessons(Store):
    """The part of the ledger that past runs teach from."""

    @reads
    def lessons(self, connection: Connection, *, name: str, limit: int) -> tuple[Lesson, ...]:
        """Return what runs noted about their epochs, those of one job's name first.

        Args:
            connection: The transaction; callers leave it out.
            name: Name of the job.
            limit: How many notes of that name, and how many of whole runs of any name.

        Returns:
            The notes, the newest run first in each half; none twice.
        """
        asked = {"asked_name": name, "asked_limit": limit}
        like = connection.execute(_LIKE, asked).all()
        others = connection.execute(_WHOLE, {"asked_limit": limit}).all()
        lessons = {run: Lesson(name, job, body) for run, job, body in like}
        for run, other, body in others:
            if run not in lessons:  # most may be the same; what is not read costs nothing
                lessons[run] = Lesson(other, None, json.loads(body))
        return tuple(lessons.values())


_LIMIT = bindparam("asked_limit", type_=Integer())
_NOTED = and_(EVENT.c.run == RUN.c.run, EVENT.c.key == EventKind.EPOCHS)
_LIKE = (
    select(RUN.c.run, RUN.c.job, EVENT.c.body)
    .join(EVENT, _NOTED)
    .where(RUN.c.name == bindparam("asked_name"))
    .order_by(RUN.c.created_us.desc(), RUN.c.run)
    .limit(_LIMIT)
)
# Each state by itself, so that an index has its newest; then the newest of both.
_NEWEST = union_all(
    *(
        select(RUN.c.run, RUN.c.name, RUN.c.created_us, cast(EVENT.c.body, Text).label("body"))
        .join(EVENT, _NOTED)
        .where(RUN.c.state == state.value)
        .order_by(RUN.c.created_us.desc(), RUN.c.run)
        .limit(_LIMIT)
        .subquery()
        .select()
        for state in (RunState.COMPLETED, RunState.COMPLETED_EARLY)
    )
).subquery()
_WHOLE = (
    select(_NEWEST.c.run, _NEWEST.c.name, _NEWEST.c.body)
    .order_by(_NEWEST.c.created_us.desc(), _NEWEST.c.run)
    .limit(_LIMIT)
)
