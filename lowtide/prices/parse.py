"""From a document to the price book that it means."""

from collections.abc import Callable, Mapping
from datetime import UTC
from decimal import Decimal
from typing import Any, TypeAlias, cast

from pydantic import ValidationError

from lowtide.documents import explain
from lowtide.errors import BadInputError
from lowtide.prices.document import (
    BookDocument,
    FlavorDocument,
    OnDemandDocument,
    SheetDocument,
    SpotDocument,
)
from lowtide.prices.records import Flavor, Multipliers, PriceBook, Rates, Series, Sheet
from lowtide.prices.series import parse_series

ReadText: TypeAlias = Callable[[str], str]
"""From a file's name, as the document gives it, to the file's text."""


def no_files(name: str) -> str:
    """Refuse to read a file that a document names: the document came alone."""
    msg = "a price series is in a file, and this document came without its files"
    raise BadInputError(
        msg, where=name, remedy="load the price book from the folder that has the series"
    )


def parse_book(document: object, *, source: str, read_text: ReadText = no_files) -> PriceBook:
    """Read a price book from a parsed document, or say what is wrong with which key.

    Args:
        document: What the YAML file held.
        source: Name of the file or caller, for messages.
        read_text: Reads the market price series that the document names.

    Returns:
        The book.

    Raises:
        BadInputError: the first finding, with the number of the others; nothing was changed.

    Examples:
        >>> parse_book({"currency": "EUR", "sheets": []}, source="prices.yaml")
        Traceback (most recent call last):
        lowtide.errors.BadInputError: prices.yaml: currency: the ledger keeps US dollars (and 1 more)
        (expected USD, got 'EUR'); convert the rates to USD; `lowtide schema prices` prints every key
    """
    if not isinstance(document, Mapping):
        msg = "a price book is a mapping of keys"
        raise BadInputError(
            msg,
            where=source,
            expected="a mapping with at least sheets",
            got="nothing" if document is None else f"a {type(document).__name__}",
            remedy="start from blocks/books/specification.yaml",
        )
    try:
        checked = BookDocument.model_validate(document)
    except ValidationError as error:
        raise explain(error, source=source, schema="prices") from None
    sheets = (_sheet(sheet, zone=checked.zone, read_text=read_text) for sheet in checked.sheets)
    return PriceBook(name=source, sheets=tuple(sheets))


def book_schema() -> dict[str, Any]:
    """Return the JSON Schema of a price book's document."""
    return BookDocument.model_json_schema()


def _sheet(sheet: SheetDocument, *, zone: str, read_text: ReadText) -> Sheet:
    until, factors = sheet.effective_until, sheet.priority_multipliers
    return Sheet(
        version=sheet.version,
        effective_from=sheet.effective_from.astimezone(UTC),
        effective_until=until.astimezone(UTC) if until else None,
        zone=sheet.zone or zone,
        windows=sheet.window_records,
        flavors=tuple(
            _flavor(name, flavor, read_text=read_text) for name, flavor in sheet.flavors.items()
        ),
        multipliers=Multipliers(**factors.model_dump()) if factors else Multipliers(),
        source=sheet.source,
    )


def _flavor(name: str, flavor: FlavorDocument, *, read_text: ReadText) -> Flavor:
    on_demand = _on_demand(flavor.on_demand, read_text=read_text)
    spot = flavor.spot
    return Flavor(
        name=name,
        on_demand=on_demand,
        spot=_spot(spot, on_demand=on_demand, read_text=read_text) if spot else None,
        interruption_rate=spot.interruption_rate if spot else None,
    )


def _on_demand(price: OnDemandDocument, *, read_text: ReadText) -> Rates:
    return Rates(
        gpu_usd_per_h=_gpu(price, max_usd_per_h=None, read_text=read_text),
        cpu_usd_per_core_h=price.cpu_usd_per_core_h,
        memory_usd_per_gib_h=price.memory_usd_per_gib_h,
        follows_windows=price.series is None,
    )


def _spot(price: SpotDocument, *, on_demand: Rates, read_text: ReadText) -> Rates:
    cpu_usd, memory_usd = price.cpu_usd_per_core_h, price.memory_usd_per_gib_h
    return Rates(
        gpu_usd_per_h=_gpu(price, max_usd_per_h=on_demand.held_gpu_usd_per_h, read_text=read_text),
        cpu_usd_per_core_h=on_demand.cpu_usd_per_core_h if cpu_usd is None else cpu_usd,
        memory_usd_per_gib_h=on_demand.memory_usd_per_gib_h if memory_usd is None else memory_usd,
        follows_windows=False,
    )


def _gpu(
    price: OnDemandDocument | SpotDocument, *, max_usd_per_h: Decimal | None, read_text: ReadText
) -> Decimal | Series:
    series = price.series
    if series is None:
        return cast("Decimal", price.gpu_usd_per_h)  # the model has exactly one of the two
    most = series.max_usd_per_h if series.max_usd_per_h is not None else max_usd_per_h
    return Series(
        points=parse_series(read_text(series.file), source=series.file),
        max_usd_per_h=cast("Decimal", most),  # the model asks for it where there is no default
        stale_after_h=series.stale_after_h,
    )
