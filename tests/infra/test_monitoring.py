"""The exporter, the rules, the routes and the dashboards, with the real programs."""

import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
import yaml
from prometheus_client import generate_latest
from prometheus_client.metrics_core import Metric
from prometheus_client.openmetrics import exposition, parser

from apps.metrics import Exporter, registry_of
from blocks.ledger import Books, Hold, Lease
from infra.grafana.build import DASHBOARDS, as_json, queries_of
from lowtide.ledger.budgets import parse_budgets
from lowtide.money import ZERO_USD
from tests.fakes import month
from tests.infra.monitoring import INFRA, MISSING, installed, monitoring, wait_for

NOW = month.END - timedelta(minutes=30)
RULES = INFRA / "prometheus" / "rules.yml"
CASES = sorted((INFRA / "prometheus").glob("rules*_test.yml"))
BOARDS = INFRA / "grafana" / "dashboards"
DCGM = {
    "DCGM_FI_DEV_GPU_UTIL",
    "DCGM_FI_PROF_SM_ACTIVE",
    "DCGM_FI_DEV_FB_USED",
    "DCGM_FI_DEV_FB_FREE",
    "DCGM_FI_DEV_POWER_USAGE",
}
needs_programs = pytest.mark.skipif(not installed(), reason=MISSING)


@pytest.fixture
def books(tmp_path: Path, month_file: Path) -> Iterator[Books]:
    """The month's books, with a budget that is held to its last cent and a leg that waits."""
    shutil.copy(month_file, tmp_path / "ledger.db")
    opened = Books(f"sqlite:///{tmp_path / 'ledger.db'}")
    tiny = {"name": "research/vision", "limit_usd": 1, "zone": "UTC"}
    tree = parse_budgets([*month.BUDGETS, tiny], source="test")
    opened.set_budgets(tree, actor="test", reason="test", now=NOW)
    run = "r-0123456789ab"
    opened.open_run(
        run=run,
        key=run,
        job={"name": "digits"},
        spec_hash="0" * 64,
        name="digits",
        budget="research/vision",
        priority="normal",
        flavor="t4",
        tags={},
        now=NOW,
    )
    lease = opened.take_lease(run, owner="test", now=NOW)
    held = opened.hold(
        key="all",
        run=run,
        budget="research/vision",
        amount_usd=Decimal(1),
        expires_at=NOW + timedelta(days=1),
        price_version=month.VERSION,
        actor="test",
        reason="test",
        now=NOW,
    )
    assert isinstance(held, Hold)
    assert isinstance(lease, Lease)
    opened.open_leg(
        lease,
        leg=1,
        where="local",
        flavor="t4",
        capacity="spot",
        price_version=month.VERSION,
        limit_s=60,
        start_by=NOW + timedelta(hours=1),
        now=NOW,
    )
    yield opened
    opened.close()


@pytest.fixture
def exporter(books: Books) -> Exporter:
    made = Exporter(
        books=books,
        prices=lambda: month.PRICES,
        probes={"mlflow": lambda: True},
        clock=lambda: NOW,
    )
    made.catch_up()
    return made


def scraped(exporter: Exporter) -> str:
    """Return what a scrape gets that asks for OpenMetrics."""
    # The library says nothing of these two functions' types.
    generate: Any = getattr(exposition, "generate_latest")  # noqa: B009
    text: bytes = generate(registry_of(exporter))
    return text.decode()


def families_of(text: str) -> list[Metric]:
    """Read what a scrape got, as strictly as the standard does."""
    read: Any = getattr(parser, "text_string_to_metric_families")  # noqa: B009
    return list(read(text))


def values(exporter: Exporter, name: str) -> dict[tuple[str, ...], float]:
    text = scraped(exporter)
    return {
        tuple(sample.labels.values()): sample.value
        for family in families_of(text)
        for sample in family.samples
        if sample.name == name
    }


def test_what_is_exported_is_valid_openmetrics_and_no_series_is_a_runs_own(
    exporter: Exporter,
) -> None:
    text = scraped(exporter)

    families = families_of(text)
    assert len(families) > 20
    assert not re.findall(r"r-[0-9a-f]{12}", text)
    assert all(family.documentation for family in families)


@needs_programs
def test_names_and_types_keep_prometheus_conventions(exporter: Exporter) -> None:
    text = generate_latest(registry_of(exporter))

    done = subprocess.run(
        ["promtool", "check", "metrics"], check=False, input=text, capture_output=True
    )

    assert done.stderr.decode() == ""
    assert done.returncode == 0


def test_exported_sums_are_the_journals(exporter: Exporter, books: Books) -> None:
    lines = [line for line in books.journal(limit=100_000) if line.used_from is not None]
    states = {state.name: state for state in books.budgets(NOW)}

    spent = values(exporter, "lowtide_budget_spent_usd")
    charged = values(exporter, "lowtide_budget_charged_usd")

    total = sum((line.amount_usd for line in lines), ZERO_USD)
    assert spent["org", "org"] == float(total)
    assert {budget for budget, _ in charged} == set(states)
    for (budget, _), value in charged.items():
        assert value == float(states[budget].charged_usd)


def test_legs_and_waits_are_counted_once_each(exporter: Exporter, books: Books) -> None:
    legs = [leg for row in books.runs(limit=1000) for leg in books.legs(row.run)]

    ended = values(exporter, "lowtide_legs_ended_total")
    preempted = values(exporter, "lowtide_preemptions_total")
    waits = values(exporter, "lowtide_queue_wait_seconds_count")

    assert sum(ended.values()) == sum(leg.end is not None for leg in legs)
    assert sum(preempted.values()) == sum(leg.end == "preempted" for leg in legs) > 0
    assert sum(waits.values()) == sum(leg.started_at is not None for leg in legs)


def test_notes_are_counted_once_however_often_they_are_read(
    exporter: Exporter, books: Books
) -> None:
    expected = sum(len(books.events(row.run, kind="decision")) for row in books.runs(limit=1000))

    first = values(exporter, "lowtide_decisions_total")
    exporter.catch_up()
    again = values(exporter, "lowtide_decisions_total")

    assert sum(first.values()) == expected
    assert first == again


def test_a_ledger_that_does_not_answer_is_said_and_not_guessed_at(tmp_path: Path) -> None:
    gone = Exporter(books=Books(f"sqlite:///{tmp_path}/none.db"), prices=lambda: None)

    assert values(gone, "lowtide_ledger_up") == {(): 0.0}
    assert values(gone, "lowtide_api_requests_total")["error", "ledger"] == 2
    assert values(gone, "lowtide_budget_charged_usd") == {}


@needs_programs
@pytest.mark.slow
@pytest.mark.timeout(600)  # promtool works for seconds, on a busy machine for minutes
def test_every_alert_has_a_case_in_which_it_fires_and_one_in_which_it_does_not() -> None:
    alerts = {
        rule["alert"]
        for group in yaml.safe_load(RULES.read_text("utf-8"))["groups"]
        for rule in group["rules"]
        if "alert" in rule
    }
    asked = [
        case
        for cases in CASES
        for test in yaml.safe_load(cases.read_text("utf-8"))["tests"]
        for case in test["alert_rule_test"]
    ]

    checked = subprocess.run(
        ["promtool", "check", "rules", str(RULES)], check=False, capture_output=True
    )
    tested = subprocess.run(
        ["promtool", "test", "rules", *map(str, CASES)], check=False, capture_output=True
    )

    assert checked.returncode == 0, checked.stderr
    assert tested.returncode == 0, tested.stdout
    assert {case["alertname"] for case in asked if case["exp_alerts"]} == alerts
    assert {case["alertname"] for case in asked if not case["exp_alerts"]} == alerts


@needs_programs
def test_the_routes_are_sound() -> None:
    file = INFRA / "alertmanager" / "alertmanager.yml"

    def route(*labels: str) -> str:
        words = ["amtool", "config", "routes", "test", f"--config.file={file}", *labels]
        return subprocess.run(words, check=True, capture_output=True, text=True).stdout.strip()

    assert route("severity=page") == "pager"
    assert route("severity=ticket") == "tickets"
    assert route("severity=info") == "notes"
    assert route("severity=page", "team=research/vision") == "pager,team-vision"


@pytest.mark.parametrize("name", sorted(DASHBOARDS))
def test_a_dashboard_is_what_its_builder_makes(name: str) -> None:
    written = (BOARDS / f"{name}.json").read_text("utf-8")

    assert written == as_json(DASHBOARDS[name]()), "run: python -m infra.grafana"


def test_every_metric_that_a_rule_or_a_dashboard_uses_is_exported(exporter: Exporter) -> None:
    rules: list[Any] = [
        rule
        for group in yaml.safe_load(RULES.read_text("utf-8"))["groups"]
        for rule in group["rules"]
    ]
    recorded = {rule["record"] for rule in rules if "record" in rule}
    exprs = [rule["expr"] for rule in rules]
    for path in BOARDS.glob("*.json"):
        exprs += queries_of(json.loads(path.read_text("utf-8")))
    text = scraped(exporter)
    exported = {sample.name for family in families_of(text) for sample in family.samples}

    used = {name for expr in exprs for name in re.findall(r"\b(?:lowtide[_:]|DCGM_)[\w:]+", expr)}

    assert used - exported - recorded - DCGM == set()
    assert len(used) > 25


@needs_programs
@pytest.mark.slow
@pytest.mark.timeout(600)  # two servers start, and a busy machine starts them slowly
def test_an_exhausted_budget_reaches_the_pager_and_the_team_and_every_panel_has_series(
    exporter: Exporter, tmp_path: Path
) -> None:
    queries = [
        query.replace("$budget", ".*").replace("$run", "")
        for path in sorted(BOARDS.glob("*.json"))
        for query in queries_of(json.loads(path.read_text("utf-8")))
    ]

    with monitoring(tmp_path, registry_of(exporter)) as running:

        def told() -> set[tuple[str, str]]:
            return {
                (path, alert["labels"]["alertname"])
                for path, body in list(running.told)
                for alert in body["alerts"]
                if alert["labels"].get("budget") == "research/vision"
            }

        wanted = {
            ("/pager", "LowtideBudgetExhausted"),
            ("/team-vision", "LowtideBudgetExhausted"),
        }
        wait_for(lambda: wanted <= told(), what=f"the webhook was told of {told()}")
        empty = [query for query in queries if not running.query(query)]
        wait_for(
            lambda: not [query for query in empty if not running.query(query)],
            what=f"no series: {empty}",
        )

    assert len(queries) > 30
