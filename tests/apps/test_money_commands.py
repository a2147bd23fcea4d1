"""The commands that ask before spending: check, compare, budget, schema."""

import json
import re
import sqlite3
from contextlib import closing
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from apps.cli.main import run
from apps.schemas import schema_of

ROOT = Path(__file__).parent.parent.parent
LLM = str(ROOT / "examples" / "llm" / "job.yaml")


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("LOWTIDE_HOME", str(tmp_path / "home"))
    return tmp_path


def answer(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, Any]:
    code = run([*words, "--json"])
    return code, json.loads(capsys.readouterr().out)


def test_five_epochs_with_five_dollars_are_over_by_one_fifty_and_the_options_are_priced(
    capsys: pytest.CaptureFixture[str],
) -> None:
    code, found = answer(capsys, "check", "--budget", "5", "--epochs", "5", "--job", LLM)

    assert code == 3
    assert found["schema"] == "lowtide.check/1"
    assert found["feasible"] is False
    assert found["forecast_usd"]["p50"] == "6.500000"
    assert found["over_usd"] == "1.500000"
    cost = {option["kind"]: option["cost_usd"]["p50"] for option in found["options"]}
    assert cost["off-peak"] == "3.250000"
    assert cost["spot"] == "1.950000"
    batch = next(option for option in found["options"] if option["kind"] == "batch-size")
    assert "assumes" in batch["why"]


def test_the_same_for_a_person_names_the_sums(capsys: pytest.CaptureFixture[str]) -> None:
    code = run(["check", "--budget", "5", "--job", LLM])

    out = capsys.readouterr().out
    assert code == 3
    for words in ("$6.50", "over by $1.50", "$3.25", "$1.95", "130.0 %"):
        assert words in out


def test_a_small_training_fits(capsys: pytest.CaptureFixture[str]) -> None:
    code, found = answer(
        capsys, "check", "--budget", "0.05", "--epochs", "2", "--batch-size", "64"
    )

    assert code == 0
    assert found["feasible"] is True
    assert Decimal(found["hold_usd"]) <= Decimal("0.05")


@pytest.mark.parametrize("budget", ["five", "NaN", "-1", "0"])
def test_a_budget_that_is_no_amount_is_bad_input(
    budget: str, capsys: pytest.CaptureFixture[str]
) -> None:
    code, found = answer(capsys, "check", f"--budget={budget}")

    assert code == 2
    assert "budget" in found["error"]["where"]


def test_configurations_are_compared_by_time_and_cost(capsys: pytest.CaptureFixture[str]) -> None:
    configs = '[{"epochs": 2, "batch_size": 64}, {"epochs": 4, "batch_size": 64}]'

    code, found = answer(capsys, "compare", configs, "--job", LLM)

    assert code == 0
    short, long = found["configs"]
    assert Decimal(long["cost_usd"]["p50"]) == 2 * Decimal(short["cost_usd"]["p50"])
    assert short["pareto"]


@pytest.mark.parametrize(
    "configs", ["[]", "[{}", '[{"batch_size": 0}]', '[{"bach": 1}]', "nowhere.json"]
)
def test_configurations_that_cannot_be_read_are_bad_input(
    configs: str, capsys: pytest.CaptureFixture[str]
) -> None:
    code, found = answer(capsys, "compare", configs)

    assert code == 2
    assert found["error"]["message"]


def test_budgets_are_set_as_a_whole_shown_and_adjusted_with_a_reason(
    home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = home / "budgets.yaml"
    file.write_text(
        "- {name: org, limit_usd: 50, period: month, zone: UTC, mode: block}\n"
        "- {name: org/team, parent: org, limit_usd: 10, period: day, zone: Asia/Tokyo, mode: warn}\n",
        encoding="utf-8",
    )

    code, changed = answer(capsys, "budget", "set", "--file", str(file))
    _, adjusted = answer(
        capsys, "budget", "adjust", "org", "5", "--reason", "a conference", "--key", "k"
    )
    _, again = answer(
        capsys, "budget", "adjust", "org", "5", "--reason", "a conference", "--key", "k"
    )
    _, shown = answer(capsys, "budget", "show", "org")
    _, journal = answer(capsys, "budget", "journal", "--budget", "org")

    assert code == 0
    assert {"org", "org/team"} <= set(changed["changed"])
    assert adjusted["budgets"][0]["limit_usd"] == "55.000000"
    assert again["budgets"] == adjusted["budgets"]
    assert shown["budgets"][0]["available_usd"] == "55.000000"
    assert [line["reason"] for line in journal["lines"] if line["kind"] == "adjust"] == [
        "a conference"
    ]


def test_a_tree_with_a_cycle_changes_nothing(
    home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    _, before = answer(capsys, "budget", "show")
    file = home / "budgets.yaml"
    file.write_text(
        "- {name: a, parent: b, limit_usd: 1, period: day, zone: UTC}\n"
        "- {name: b, parent: a, limit_usd: 1, period: day, zone: UTC}\n",
        encoding="utf-8",
    )

    code, found = answer(capsys, "budget", "set", "--file", str(file))
    _, after = answer(capsys, "budget", "show")

    assert code == 2
    assert "budgets.yaml" in found["error"]["where"]
    assert after["budgets"] == before["budgets"]


def test_a_budget_that_does_not_exist_is_bad_input(capsys: pytest.CaptureFixture[str]) -> None:
    code, found = answer(capsys, "budget", "show", "nobody")

    assert code == 2
    assert "research/vision" in found["error"]["expected"]


def test_tables_are_drawn_for_a_person(capsys: pytest.CaptureFixture[str]) -> None:
    codes = [
        run(["budget", "show"]),
        run(["budget", "journal"]),
        run(["compare", '[{"epochs": 2}]']),
        run(["jobs"]),
    ]

    out = capsys.readouterr().out
    assert codes == [0, 0, 0, 0]
    assert "available" in out
    assert "epochs 2" in out
    assert "no runs yet" in out


@pytest.mark.parametrize("name", ["job", "budgets", "prices", "compare", "tools"])
def test_the_published_schemas_are_the_models_own(name: str) -> None:
    published = json.loads((ROOT / "docs" / "schemas" / f"{name}.json").read_text("utf-8"))

    assert published == schema_of(name)


def test_a_schema_that_there_is_not_is_bad_input(capsys: pytest.CaptureFixture[str]) -> None:
    code = run(["schema", "pod"])

    assert code == 2
    assert "one of job" in capsys.readouterr().err


def test_a_limit_is_lowered_by_a_negative_amount(capsys: pytest.CaptureFixture[str]) -> None:
    code, found = answer(capsys, "budget", "adjust", "research", "-5", "--reason", "less")

    assert code == 0
    assert found["budgets"][0]["limit_usd"] == "95.000000"
    assert found["budgets"][0]["adjusted_usd"] == "-5.000000"


def test_a_period_is_closed_once_it_is_over_and_what_it_left_rolls_over(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    budgets = tmp_path / "budgets.yaml"
    budgets.write_text("- {name: team, limit_usd: 5, roll_over: {max_usd: 2}}\n", encoding="utf-8")
    assert run(["budget", "set", "--file", str(budgets)]) == 0
    capsys.readouterr()

    code, found = answer(capsys, "budget", "close", "team", "--reason", "month end")
    assert (code, found["budgets"][0]["charged_usd"]) == (0, "0.000000")

    today = datetime.now(UTC).date().isoformat()
    code, found = answer(capsys, "budget", "close", "team", "--at", today, "--reason", "early")
    assert code == 2
    assert "has not ended yet" in found["error"]["message"]


def test_an_adjustment_says_until_when_in_the_budgets_own_time(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert run(["budget", "adjust", "research", "5", "--reason", "conference"]) == 0

    told = capsys.readouterr().out
    assert re.fullmatch(
        r"research: limit \$105.00 until \d{4}-\d\d-01 00:00 Europe/Berlin\n", told
    )


def test_the_doctor_names_a_balance_that_is_not_what_the_journal_says(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    assert run(["budget", "show", "research"]) == 0
    capsys.readouterr()
    with closing(sqlite3.connect(tmp_path / "home" / "ledger.db")) as database, database:
        database.execute("UPDATE budget SET held_micro_usd = 1500000 WHERE name = 'research'")

    code, found = answer(capsys, "doctor")

    (books,) = [each for each in found["findings"] if each["what"] == "ledger"]
    assert (code, books["ok"]) == (1, False)
    assert "'research', held, stored $1.50, by the journal $0.00" in books["told"]
