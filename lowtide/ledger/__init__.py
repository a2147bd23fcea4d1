"""The rules of the books: budgets in a tree, periods in a zone, holds, charges, verdicts.

Everything here is arithmetic on records. `blocks.ledger` keeps the records in a database and asks
these functions what may be done with them.
"""
