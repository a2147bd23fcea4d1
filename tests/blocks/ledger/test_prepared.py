"""Statements that are compiled once: they say the same as SQLAlchemy, and hide nothing from it."""

from typing import Any

import pytest
from sqlalchemy import bindparam, event, insert, select
from sqlalchemy.exc import IntegrityError

from blocks.ledger import Books
from blocks.ledger.prepared import Prepared
from blocks.ledger.schema import BUDGET, EVENT
from tests.blocks.ledger.acts import NOON, held, set_tree

TEAM = {"name": "team", "limit_usd": 10, "thresholds": [50, 75]}
ONE = select(BUDGET).where(BUDGET.c.name == bindparam("asked")).limit(1)


def test_a_row_is_what_sqlalchemy_makes_of_it(books: Books) -> None:
    set_tree(books, TEAM)

    with books._reader.connect() as connection:
        prepared = Prepared(ONE).one(connection, {"asked": "team"})
        usual = connection.execute(ONE, {"asked": "team"}).one()

    assert prepared._asdict() == usual._asdict()
    assert prepared.thresholds == [50, 75]


def test_a_broken_rule_is_the_same_error(books: Books) -> None:
    set_tree(books, TEAM)
    held(books, "r-1", 4)
    note = Prepared(insert(EVENT), columns=["run", "kind", "key", "at_us", "body"])
    row = {"run": "no-such-run", "kind": "note", "key": "1", "at_us": 0, "body": {"a": 1}}

    with pytest.raises(IntegrityError), books._writer.begin() as connection:
        note.run(connection, row)

    assert books.check() == ()


def test_who_listens_to_statements_hears_of_every_one(books: Books) -> None:
    set_tree(books, TEAM)
    told: list[str] = []

    def note(*sent: Any) -> None:
        told.append(str(sent[2]))

    event.listen(books._writer, "before_cursor_execute", note)
    held(books, "r-1", 4, now=NOON)
    event.remove(books._writer, "before_cursor_execute", note)

    written = [sql.split("(")[0].strip() for sql in told if sql.startswith("INSERT")]
    assert {"INSERT INTO hold", "INSERT INTO journal", "INSERT INTO posting"} <= set(written)
