"""Crashes between any two statements of a transaction."""

from collections.abc import Generator
from contextlib import contextmanager
from typing import Any

from sqlalchemy import Connection, event

from blocks.ledger import Books


class Crash(BaseException):
    """The process is gone."""


@contextmanager
def crashing_at(books: Books, *, statement: int) -> Generator[None]:
    """Crash just before the n-th statement of the writer; the one after the last is the commit.

    One number further, the commit is done and its answer is lost.

    Args:
        books: Whose writer.
        statement: Which statement, from 1, over all transactions.
    """
    seen = 0

    def before(*_: Any) -> None:
        nonlocal seen
        seen += 1
        if seen == statement:
            raise Crash

    def at_commit(connection: Connection) -> None:
        before()
        if seen + 1 == statement:
            driver = connection.connection.driver_connection
            assert driver is not None
            driver.commit()
            raise Crash

    writer = books._writer
    event.listen(writer, "before_cursor_execute", before)
    event.listen(writer, "commit", at_commit)
    try:
        yield
    finally:
        event.remove(writer, "before_cursor_execute", before)
        event.remove(writer, "commit", at_commit)
