"""Where the price book comes from: a shipped book, a file, or the cluster's ConfigMaps.

Prices are never fetched while something runs: nothing here opens a connection, and a book is
immutable. An edit that can't be used is refused as a whole and logged, and the book that this process
read before stays in force; a process that never had one is told what is wrong.
"""

from collections.abc import Callable, Mapping
from typing import ClassVar, Self, TypeAlias

from prefect.blocks.core import Block
from pydantic import Field, HttpUrl, PrivateAttr

from blocks.price_books import DEFAULT_BOOK, book_at
from lowtide.errors import BadInputError
from lowtide.prices import PriceBook
from lowtide.prices.configmaps import SCHEDULING_POLICIES, book_from_cost_model, parse_policies

ReadConfigMap: TypeAlias = Callable[[str, str], Mapping[str, str]]
"""From a namespace and a name to a ConfigMap's data; raises where there is none."""

_CONFIG_MAP = "configmap:"


class Prices(Block):
    """A price book: a shipped one, a file, or a cluster's ConfigMaps.

    Examples:
        Load a saved price book:
        ```python
        from blocks.prices import Prices

        prices = Prices.load("BLOCK_NAME")
        ```
    """

    _block_type_slug: ClassVar[str | None] = "lowtide-prices"
    _block_type_name: ClassVar[str | None] = "Lowtide Prices"
    _description: ClassVar[str | None] = "Versioned prices of GPU capacity, by tariff window."
    _documentation_url: ClassVar[HttpUrl | None] = HttpUrl(
        "https://example.invalid/lowtide/blocks"
    )

    source: str = Field(
        default=DEFAULT_BOOK,
        min_length=1,
        description="Name of a shipped book, a YAML file, or configmap:NAMESPACE/NAME.",
    )

    _read_config_map: ReadConfigMap | None = PrivateAttr(default=None)

    def reading_cluster(self, read: ReadConfigMap) -> Self:
        """Let this block read ConfigMaps, and return it."""
        self._read_config_map = read
        return self

    def book(self) -> PriceBook:
        """Return the price book; the same object as long as what it was read from is the same.

        Returns:
            The book, or the one that this process read before, where an edit can't be used.

        Raises:
            BadInputError: there is no such book, or it is not usable; with the key or the line.
        """
        if self.source.startswith(_CONFIG_MAP):
            return self._of_config_maps()
        return book_at(self.source)

    def _of_config_maps(self) -> PriceBook:
        namespace, slash, name = self.source.removeprefix(_CONFIG_MAP).partition("/")
        if not (namespace and slash and name):
            msg = "not the address of a ConfigMap"
            raise BadInputError(
                msg,
                where="prices",
                expected="configmap:NAMESPACE/NAME",
                got=repr(self.source),
                remedy="name the ConfigMap so, as in configmap:ml-training/cost-model",
            )
        if self._read_config_map is None:
            msg = "the price book is in the cluster, and this block can't read it by itself"
            raise BadInputError(
                msg,
                where=self.source,
                remedy="pass it the cluster block's reader (`Prices.reading_cluster`), or name a file",
            )
        policies = self._read_config_map(namespace, SCHEDULING_POLICIES)
        return book_from_cost_model(
            self._read_config_map(namespace, name),
            policies=parse_policies(
                policies, source=f"{_CONFIG_MAP}{namespace}/{SCHEDULING_POLICIES}"
            ),
            source=self.source,
        )
