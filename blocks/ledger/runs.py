"""Root rows: whose run it is, how it stands, and what was noted about it.

The lease is what lets several processes want the same run: one owns it for a minute at a time, and
each change of hands raises the fencing number. Whoever finds a higher one than its own has lost
the run and must stop without touching anything.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import ColumnElement, Connection, bindparam, select, true, update

from blocks.ledger.convert import from_us, from_us_if, to_us
from blocks.ledger.engine import Store, Stored, insert_into, reads, writes
from blocks.ledger.prepared import Prepared
from blocks.ledger.schema import EVENT, RUN
from lowtide.errors import BadInputError, KeyReusedError, StaleOwnerError
from lowtide.ledger.records import UNFINISHED, Event, Lease, LeaseHeld, RunRow, RunState

LEASE_S = 60.0


class Runs(Store):
    """The part of the ledger that keeps runs."""

    @writes
    def open_run(
        self,
        connection: Connection,
        *,
        run: str,
        key: str,
        job: Mapping[str, Any],
        spec_hash: str,
        name: str,
        budget: str,
        priority: str,
        flavor: str,
        tags: Mapping[str, str],
        now: datetime,
    ) -> RunRow:
        """Make a run's root row, or return the one that its key already has.

        Args:
            connection: The transaction; callers leave it out.
            run: The run's id, made from the key.
            key: The caller's key.
            job: The job as a document.
            spec_hash: Content hash of the job.
            name: The job's name.
            budget: Name of the budget that pays.
            priority: The job's priority.
            flavor: The job's flavor.
            tags: The job's labels.
            now: The time.

        Returns:
            The row.

        Raises:
            KeyReusedError: the key belongs to another job.
        """
        fresh = {
            "run": run,
            "key": key,
            "job": dict(job),
            "spec_hash": spec_hash,
            "name": name,
            "budget": budget,
            "priority": priority,
            "flavor": flavor,
            "tags": dict(tags),
            "state": RunState.CREATED.value,
            "message": "",
            "created_us": to_us(now),
            "changed_us": to_us(now),
            "fencing": 0,
        }
        connection.execute(
            insert_into(connection.dialect.name, RUN).values(fresh).on_conflict_do_nothing()
        )
        row = connection.execute(select(RUN).where(RUN.c.key == key)).one()
        if row.spec_hash != spec_hash:
            msg = "the key belongs to another job"
            raise KeyReusedError(
                msg,
                where=f"key {key!r}",
                expected=f"the job {row.name!r} of run {row.run!r}",
                got=f"the job {name!r} with other contents",
                remedy="use another key, or none for a new run",
            )
        return _run(row)

    @reads
    def run(self, connection: Connection, run: str) -> RunRow | None:
        """Return a run, if there is one of that id."""
        row = connection.execute(select(RUN).where(RUN.c.run == run)).one_or_none()
        return None if row is None else _run(row)

    @reads
    def runs(
        self,
        connection: Connection,
        *,
        state: str | None = None,
        name: str | None = None,
        unfinished: bool = False,
        limit: int = 100,
    ) -> tuple[RunRow, ...]:
        """Return runs, the newest first.

        Args:
            connection: The transaction; callers leave it out.
            state: Only runs in this state.
            name: Only runs of the job of this name.
            unfinished: Only runs about which something is still to be done.
            limit: At most so many.

        Returns:
            The runs.
        """
        wanted = _wanted(state=state, name=name, unfinished=unfinished)
        statement = select(RUN).where(*wanted).order_by(RUN.c.created_us.desc(), RUN.c.run)
        return tuple(_run(row) for row in connection.execute(statement.limit(limit)))

    @reads
    def unfinished_run(
        self, connection: Connection, *, name: str, spec_hash: str
    ) -> RunRow | None:
        """Return the newest unfinished run of the very same job, if there is one."""
        wanted = [*_wanted(name=name, unfinished=True), RUN.c.spec_hash == spec_hash]
        statement = select(RUN).where(*wanted).order_by(RUN.c.created_us.desc(), RUN.c.run)
        row = connection.execute(statement.limit(1)).one_or_none()
        return None if row is None else _run(row)

    @writes
    def set_mlflow_run(self, connection: Connection, run: str, mlflow_run_id: str) -> str:
        """Give a run its MLflow run, unless another caller was first; return the winner's."""
        connection.execute(
            update(RUN)
            .where(RUN.c.run == run, RUN.c.mlflow_run_id.is_(None))
            .values(mlflow_run_id=mlflow_run_id)
        )
        return str(lock_run(connection, run).mlflow_run_id)

    @writes
    def take_lease(
        self,
        connection: Connection,
        run: str,
        *,
        owner: str,
        now: datetime,
        ttl_s: float = LEASE_S,
    ) -> Lease | LeaseHeld:
        """Take the right to act for a run, if nobody has it or its time is over.

        An owner that asks again gets its own lease back, renewed, under the same fencing number.

        Args:
            connection: The transaction; callers leave it out.
            run: The run.
            owner: Who asks.
            now: The time.
            ttl_s: How long the lease is good for, seconds.

        Returns:
            The lease, or who has it.
        """
        row = lock_run(connection, run)
        expires_at = now + timedelta(seconds=ttl_s)
        held_until = from_us_if(row.lease_expires_us)
        if row.owner not in {None, owner} and held_until is not None and held_until > now:
            return LeaseHeld(run=run, owner=row.owner, expires_at=held_until)
        fencing = row.fencing if row.owner == owner else row.fencing + 1
        changed = {"owner": owner, "fencing": fencing, "lease_expires_us": to_us(expires_at)}
        connection.execute(update(RUN).where(RUN.c.run == run).values(changed))
        return Lease(run=run, owner=owner, fencing=fencing, expires_at=expires_at)

    @writes
    def renew_lease(
        self, connection: Connection, lease: Lease, *, now: datetime, ttl_s: float = LEASE_S
    ) -> Lease:
        """Prolong a lease.

        Raises:
            StaleOwnerError: the run went to another owner meanwhile.
        """
        check_lease(connection, lease)
        expires_at = now + timedelta(seconds=ttl_s)
        connection.execute(
            update(RUN).where(RUN.c.run == lease.run).values(lease_expires_us=to_us(expires_at))
        )
        return Lease(
            run=lease.run, owner=lease.owner, fencing=lease.fencing, expires_at=expires_at
        )

    @writes
    def drop_lease(self, connection: Connection, lease: Lease, *, now: datetime) -> None:
        """Give a lease back at once; one that was lost already stays lost."""
        connection.execute(
            update(RUN)
            .where(
                RUN.c.run == lease.run,
                RUN.c.owner == lease.owner,
                RUN.c.fencing == lease.fencing,
            )
            .values(owner=None, lease_expires_us=to_us(now))
        )

    @writes
    def set_run_state(
        self,
        connection: Connection,
        lease: Lease | None,
        run: str,
        *,
        state: RunState,
        message: str,
        now: datetime,
    ) -> None:
        """Say where a run is.

        Args:
            connection: The transaction; callers leave it out.
            lease: The caller's lease on the run; None for a caller that needs none.
            run: The run.
            state: Where it is.
            message: Why, one sentence for a person.
            now: The time.

        Raises:
            StaleOwnerError: the lease was lost.
        """
        lock_run(connection, run)
        if lease is not None:
            check_lease(connection, lease)
        changed = {"state": state.value, "message": message, "changed_us": to_us(now)}
        connection.execute(update(RUN).where(RUN.c.run == run).values(changed))

    @writes
    def log(
        self,
        connection: Connection,
        run: str,
        *,
        kind: str,
        key: str,
        body: Mapping[str, Any],
        now: datetime,
    ) -> bool:
        """Note something about a run, once.

        Args:
            connection: The transaction; callers leave it out.
            run: The run.
            kind: What it is, as `decision` or `forecast`.
            key: Its name within the run.
            body: The facts, a JSON document.
            now: The time.

        Returns:
            False when the run already has a note of that key; it stays as it was.
        """
        lock_run(connection, run)
        note = {"run": run, "kind": kind, "key": key, "at_us": to_us(now), "body": dict(body)}
        statement = insert_into(connection.dialect.name, EVENT).values(note)
        statement = statement.on_conflict_do_nothing().returning(EVENT.c.id)
        return connection.execute(statement).first() is not None

    @reads
    def run_noted(self, connection: Connection, *, kind: str, key: str) -> str | None:
        """Return the run that has a note of a kind and key, if there is one; the first such."""
        wanted = [EVENT.c.kind == kind, EVENT.c.key == key]
        statement = select(EVENT.c.run).where(*wanted).order_by(EVENT.c.id).limit(1)
        return connection.execute(statement).scalar_one_or_none()

    @reads
    def events(
        self, connection: Connection, run: str, *, kind: str | None = None
    ) -> tuple[Event, ...]:
        """Return what was noted about a run, the oldest first."""
        wanted = [EVENT.c.run == run, true() if kind is None else EVENT.c.kind == kind]
        statement = select(EVENT).where(*wanted).order_by(EVENT.c.id)
        return tuple(
            Event(run=row.run, kind=row.kind, key=row.key, at=from_us(row.at_us), body=row.body)
            for row in connection.execute(statement)
        )


def lock_run(connection: Connection, run: str) -> Stored:
    """Return a run's identity and lease, which nobody else can change until the transaction ends.

    Raises:
        BadInputError: there is no such run.
    """
    row = _LOCK.first(connection, {"asked_run": run})
    if row is None:
        raise no_such_run(run)
    return row


def no_such_run(run: str) -> BadInputError:
    """Return the error for an id that no run has."""
    msg, remedy = "no such run in the ledger", "`lowtide jobs` lists the runs"
    return BadInputError(msg, where=f"run {run!r}", remedy=remedy)


def check_lease(connection: Connection, lease: Lease) -> None:
    """Make sure that the caller still owns the run, until the transaction ends.

    Raises:
        StaleOwnerError: it does not.
    """
    row = lock_run(connection, lease.run)
    if (row.owner, row.fencing) != (lease.owner, lease.fencing):
        holder = "nobody" if row.owner is None else f"owner {row.owner!r}"
        msg = f"the lease went to {holder}"
        raise StaleOwnerError(
            msg,
            where=f"run {lease.run!r}",
            expected=f"fencing {lease.fencing} of owner {lease.owner!r}",
            got=f"fencing {row.fencing}",
            remedy="stop without touching anything; the new owner goes on",
        )


_LOCK = Prepared(
    select(RUN.c.run, RUN.c.mlflow_run_id, RUN.c.owner, RUN.c.fencing, RUN.c.lease_expires_us)
    .where(RUN.c.run == bindparam("asked_run"))
    .with_for_update()
)


def _wanted(
    *, state: str | None = None, name: str | None = None, unfinished: bool = False
) -> Sequence[ColumnElement[bool]]:
    open_states = sorted(state.value for state in UNFINISHED)
    return [
        true() if state is None else RUN.c.state == state,
        true() if name is None else RUN.c.name == name,
        RUN.c.state.in_(open_states) if unfinished else true(),
    ]


def _run(row: Stored) -> RunRow:
    return RunRow(
        run=row.run,
        key=row.key,
        job=row.job,
        spec_hash=row.spec_hash,
        name=row.name,
        budget=row.budget,
        priority=row.priority,
        flavor=row.flavor,
        tags=row.tags,
        mlflow_run_id=row.mlflow_run_id,
        state=RunState(row.state),
        message=row.message,
        created_at=from_us(row.created_us),
        changed_at=from_us(row.changed_us),
        owner=row.owner,
        fencing=row.fencing,
        lease_expires_at=from_us_if(row.lease_expires_us),
    )
