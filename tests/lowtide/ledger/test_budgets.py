"""A budget file is taken as a whole, or refused with the entry and the remedy."""

from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
import yaml

from lowtide.errors import BadInputError
from lowtide.ledger.budgets import Mode, parse_budgets
from lowtide.ledger.periods import PeriodKind

ROOT = Path(__file__).parents[3]
ORG: dict[str, Any] = {"name": "org", "limit_usd": 10}


def test_an_entry_has_defaults() -> None:
    (budget,) = parse_budgets([ORG]).budgets

    assert (budget.limit_usd, budget.parent, budget.mode) == (Decimal(10), None, Mode.BLOCK)
    assert (budget.period, budget.zone) == (PeriodKind.MONTH, "UTC")
    assert budget.thresholds == (50, 80, 100)
    assert budget.approval_usd_max == 0


def test_a_tree_knows_the_way_to_the_root_whatever_the_order_of_the_file() -> None:
    tree = parse_budgets(
        [
            {"name": "org/team/x", "limit_usd": 1, "parent": "org/team"},
            ORG,
            {"name": "org/team", "limit_usd": 5, "parent": "org"},
        ]
    )

    assert tree.path("org/team/x") == ("org", "org/team", "org/team/x")


@pytest.mark.parametrize(
    ("entries", "where", "message"),
    [
        (None, "b.yaml", "is a list of budgets"),
        ([], "b.yaml", "is a list of budgets"),
        ({"org": ORG}, "b.yaml", "got a dict"),
        ("org", "b.yaml", "got a str"),
        ([ORG, 3], "b.yaml: entry 2", "valid dictionary"),
        ([{"limit_usd": 1}], "b.yaml: entry 1: name", "the key is missing"),
        ([{"name": "Org", "limit_usd": 1}], "budget 'Org': name", "pattern"),
        ([{"name": "org"}], "budget 'org': limit_usd", "the key is missing"),
        ([{**ORG, "limit": 1}], "budget 'org': limit", "unknown key"),
        ([{**ORG, "limit_usd": -1}], "budget 'org': limit_usd", "expected >= 0"),
        ([{**ORG, "limit_usd": "NaN"}], "budget 'org': limit_usd", "finite number"),
        ([{**ORG, "limit_usd": True}], "budget 'org': limit_usd", "not true or false"),
        ([{**ORG, "limit_usd": "0.0000001"}], "budget 'org': limit_usd", "6 decimal places"),
        ([{**ORG, "limit_usd": 10**10}], "budget 'org': limit_usd", "expected <= 1000000000"),
        ([{**ORG, "currency": "EUR"}], "budget 'org': currency", "expected 'USD'"),
        ([{**ORG, "zone": "Europe/Berlni"}], "budget 'org': zone", "no such time zone"),
        ([{**ORG, "zone": "../etc/passwd"}], "budget 'org': zone", "no such time zone"),
        ([{**ORG, "zone": ""}], "budget 'org': zone", "no such time zone"),
        ([{**ORG, "period": "year"}], "budget 'org': period", "'quarter'"),
        ([{**ORG, "mode": "stop"}], "budget 'org': mode", "'drain'"),
        ([{**ORG, "thresholds": [80, 50]}], "budget 'org': thresholds", "thresholds must rise"),
        ([{**ORG, "thresholds": [50, 50]}], "budget 'org': thresholds", "expected [50]"),
        ([{**ORG, "thresholds": [0]}], "budget 'org': thresholds.0", "expected >= 1"),
        ([{**ORG, "approvals": {"max": 1}}], "budget 'org': approvals.max", "unknown key"),
        ([ORG, ORG], "budget 'org'", "the name comes twice"),
        ([{**ORG, "parent": "all"}], "budget 'org'", "add 'all'"),
        ([{**ORG, "parent": "org"}], "budget 'org'", "circle"),
    ],
)
def test_a_bad_file_is_refused_with_the_place(entries: object, where: str, message: str) -> None:
    with pytest.raises(BadInputError) as refusal:
        parse_budgets(entries, source="b.yaml")

    said = str(refusal.value)
    assert "b.yaml" in said
    assert where in said
    assert message in said
    assert refusal.value.remedy


def test_a_circle_is_shown() -> None:
    entries = [
        {"name": name, "limit_usd": 1, "parent": above} for name, above in ("ab", "bc", "ca")
    ]

    with pytest.raises(BadInputError, match="a > b > c > a"):
        parse_budgets(entries)


def test_the_shipped_budgets_can_be_read() -> None:
    document = yaml.safe_load((ROOT / "examples/budgets.yaml").read_text(encoding="utf-8"))

    tree = parse_budgets(document, source="examples/budgets.yaml")

    assert set(tree.by_name) >= {"default", "research", "research/vision"}


@pytest.mark.parametrize(
    ("mode", "blocks"),
    [("observe", False), ("warn", False), ("block", True), ("drain", True), ("kill", True)],
)
def test_which_modes_refuse_money(mode: str, *, blocks: bool) -> None:
    assert Mode(mode).blocks is blocks
