"""Where the price book comes from: a shipped book, a file, or the cluster's ConfigMaps.

Prices are never fetched while something runs: nothing here opens a connection, and a book is
immutable. An edit that can't be used is refused as a whole and logged, and the book that this process
read before stays in force; a process that never had one is told what is wrong.
"""

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import ClassVar, Self, TypeAlias, cast

import yaml
from prefect.blocks.core import Block
from pydantic import Field, HttpUrl, PrivateAttr

from lowtide.errors import BadInputError
from lowtide.prices import PriceBook, parse_book
from lowtide.prices.configmaps import SCHEDULING_POLICIES, book_from_cost_model, parse_policies

DEFAULT_BOOK = "specification"
ReadConfigMap: TypeAlias = Callable[[str, str], Mapping[str, str]]
"""From a namespace and a name to a ConfigMap's data; raises where there is none."""

_log = logging.getLogger(__name__)
_CONFIG_MAP = "configmap:"
_YAML = ".yaml"
_BOOKS = files("blocks") / "books"


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
        return _shelf(_address(self.source)).book(self.source)

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


def shipped_books() -> tuple[str, ...]:
    """Return the names of the books that come with lowtide."""
    names = (entry.name for entry in _BOOKS.iterdir())
    return tuple(sorted(name.removesuffix(_YAML) for name in names if name.endswith(_YAML)))


def load_yaml(text: str, *, source: str) -> object:
    """Read a YAML document; a key that is there twice is refused, where YAML takes the last.

    Args:
        text: The document.
        source: Name of the file, for messages.

    Returns:
        What it holds.

    Raises:
        BadInputError: it is no YAML; with line and column.
    """
    try:
        loader = yaml.SafeLoader(text)
        node = loader.get_single_node()
        if node is None:
            return None
        _refuse_double_keys(node, source=source)
        return cast("object", loader.construct_document(node))  # pyright: ignore[reportUnknownMemberType] - no stub
    except yaml.MarkedYAMLError as error:
        raise _not_yaml(error.problem or str(error), error.problem_mark, source=source) from None
    except yaml.YAMLError as error:
        raise _not_yaml(str(error), None, source=source) from None


@dataclass(slots=True)
class _Shelf:
    """The last usable book of one file, and the texts that it was read from.

    Attributes:
        folder: Where the file and the series that it names are.
        name: The file.
        current: The book; None: there was none yet.
        texts: By name, the text of each file that it was read from.
        refused: What was said about the newest edit, so that it is said once.
    """

    folder: Traversable
    name: str
    current: PriceBook | None = None
    texts: Mapping[str, str] = field(default_factory=dict[str, str])
    refused: str = ""

    def book(self, source: str) -> PriceBook:
        if self.current is not None and self._is_unchanged():
            return self.current
        texts: dict[str, str] = {}

        def read(name: str) -> str:
            texts[name] = _text(self.folder, name)
            return texts[name]

        try:
            document = load_yaml(read(self.name), source=source)
            book = parse_book(document, source=source, read_text=read)
        except BadInputError as error:
            return self._refuse(error)
        self.current, self.texts, self.refused = book, texts, ""
        return book

    def _is_unchanged(self) -> bool:
        try:
            return all(_text(self.folder, name) == text for name, text in self.texts.items())
        except BadInputError:
            return False

    def _refuse(self, error: BadInputError) -> PriceBook:
        if self.current is None:
            raise error
        if str(error) != self.refused:
            _log.warning("%s. The prices that were read before stay in force.", error)
            self.refused = str(error)
        return self.current


@lru_cache(maxsize=64)
def _shelf(address: str) -> _Shelf:
    if address in shipped_books():
        return _Shelf(_BOOKS, f"{address}{_YAML}")
    path = Path(address)
    return _Shelf(path.parent, path.name)


def _address(source: str) -> str:
    return source if source in shipped_books() else str(Path(source).expanduser().absolute())


def _text(folder: Traversable, name: str) -> str:
    try:
        return (folder / name).read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        msg = f"the file can't be read: {error}"
        raise BadInputError(
            msg,
            where=name,
            expected=f"a shipped book ({', '.join(shipped_books())}), or a text file that exists",
            remedy="check the path",
        ) from None


def _refuse_double_keys(root: yaml.Node, *, source: str) -> None:
    waiting, seen = [root], set[int]()
    while waiting:
        node = waiting.pop()
        if id(node) in seen:  # an alias leads here again
            continue
        seen.add(id(node))
        if isinstance(node, yaml.SequenceNode):
            waiting += node.value
        elif isinstance(node, yaml.MappingNode):
            names = [key.value for key, _ in node.value if isinstance(key, yaml.ScalarNode)]
            for key, value in node.value:
                if names.count(key.value) > 1:
                    problem = f"the key {key.value!r} is there twice"
                    raise _not_yaml(problem, key.start_mark, source=source)
                waiting.append(value)


def _not_yaml(problem: str, mark: yaml.Mark | None, *, source: str) -> BadInputError:
    at = f": line {mark.line + 1}, column {mark.column + 1}" if mark else ""
    return BadInputError(
        f"the file is not YAML: {problem}", where=f"{source}{at}", remedy="correct the line"
    )
