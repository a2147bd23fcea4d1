"""The ledger as a Prefect block."""

from typing import ClassVar

from prefect.blocks.core import Block
from pydantic import Field, HttpUrl

from blocks.ledger.book import Operations


class Ledger(Operations, Block):
    """Who may spend what, and who did: holds, charges and budgets in SQLite or Postgres.

    Examples:
        Load a saved ledger:
        ```python
        from blocks.ledger import Ledger

        ledger = Ledger.load("BLOCK_NAME")
        ```
    """

    _block_type_slug: ClassVar[str | None] = "lowtide-ledger"
    _block_type_name: ClassVar[str | None] = "Lowtide Ledger"
    _description: ClassVar[str | None] = "The books: who may spend what, and who did."
    _documentation_url: ClassVar[HttpUrl | None] = HttpUrl(
        "https://example.invalid/lowtide/blocks"
    )

    url: str = Field(
        description="sqlite:////absolute/path, or postgresql+psycopg://host/database."
    )
