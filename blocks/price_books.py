"""Price books on the shelf: the shipped ones and files, read once and kept while they are the same.

This needs no Prefect, whose import takes two seconds: a command that only asks for a price does
not wait for it. An edit that can't be used is refused as a whole and logged, and the book that this
process read before stays in force; a process that never had one is told what is wrong.
"""

import logging
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import Path

from blocks.yaml_files import load_yaml
from lowtide.errors import BadInputError
from lowtide.prices import PriceBook, parse_book

DEFAULT_BOOK = "specification"

_log = logging.getLogger(__name__)
_YAML = ".yaml"
_BOOKS = files("blocks") / "books"


def book_at(source: str) -> PriceBook:
    """Return a price book; the same object as long as what it was read from is the same.

    Args:
        source: Name of a shipped book, or a YAML file.

    Raises:
        BadInputError: there is no such book, or it is not usable; with the key or the line.
    """
    return _shelf(_address(source)).book(source)


def shipped_books() -> tuple[str, ...]:
    """Return the names of the books that come with lowtide."""
    names = (entry.name for entry in _BOOKS.iterdir())
    return tuple(sorted(name.removesuffix(_YAML) for name in names if name.endswith(_YAML)))


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
