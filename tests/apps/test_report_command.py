"""`lowtide report`, as a person and as a program ask for it."""

import csv
import json
import shutil
from decimal import Decimal
from io import StringIO
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from focus_data_toolkit.model import validator

from apps.cli.main import run
from blocks.ledger import Books
from lowtide.money import ZERO_USD
from tests.fakes import month

OCTOBER = ["--from", month.FIRST, "--to", month.LAST, "--zone", month.ZONE]


@pytest.fixture(autouse=True)
def home(tmp_path: Path, month_file: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    home = tmp_path / "home"
    home.mkdir()
    shutil.copy(month_file, home / "ledger.db")
    monkeypatch.setenv("LOWTIDE_HOME", str(home))
    return home


def charged(home: Path) -> Decimal:
    books = Books(f"sqlite:///{home / 'ledger.db'}")
    lines = books.journal(limit=100_000)
    books.close()
    return sum(
        (
            line.amount_usd
            for line in lines
            if line.used_from is not None and month.START <= line.used_from < month.END
        ),
        ZERO_USD,
    )


def answer(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, Any]:
    code = run(["report", *words, "--json"])
    return code, json.loads(capsys.readouterr().out)


def test_a_program_gets_the_documents_keys_and_the_journals_sum(
    home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code, made = answer(capsys, *OCTOBER, "--by", "project")

    assert code == 0
    assert made["schema"] == "lowtide.report/1"
    assert {"from", "to", "zone", "groups", "runs", "totals", "averages", "months"} <= made.keys()
    assert made["from"] == "2026-10-01T00:00:00+02:00"
    assert made["to"] == "2026-11-01T00:00:00+01:00"
    assert {"run", "job", "duration_s", "charged_usd", "metric"} <= made["runs"][0].keys()
    assert Decimal(made["totals"]["charged_usd"]) == charged(home)
    assert sum(Decimal(group["charged_usd"]) for group in made["groups"]) == charged(home)


def test_a_person_gets_tables_with_the_specifications_columns(
    capsys: pytest.CaptureFixture[str],
) -> None:
    code = run(["report", *OCTOBER])

    out = capsys.readouterr().out
    assert code == 0
    for words in ("model", "duration", "cost", "accuracy", "saved*", "idle GPUs", "2026-10"):
        assert words in out


def test_no_runs_in_the_days_is_a_report_that_says_so(capsys: pytest.CaptureFixture[str]) -> None:
    code = run(["report", "--from", "2020-01-01", "--to", "2020-01-31"])

    assert code == 0
    assert "No run used time in these days" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "where", "told"),
    [
        (["--from", "2026-10-31", "--to", "2026-10-01"], "--from, --to", "2026-10-31"),
        (["--from", "2026-10"], "--from", "a whole date"),
        (["--to", "31 October"], "--to", "a whole date"),
        (["--from", "2026-02-30"], "--from", "a whole date"),
        (["--zone", "Europe/Berlyn"], "--zone", "IANA"),
        (["--by", "colour"], "--by", "priority"),
        (["--budget", "nobody"], "--budget", "vision/digits"),
        (["--from", "1980-01-01"], "--from, --to", "at most"),
    ],
    ids=str,
)
def test_what_cannot_be_reported_is_bad_input_that_says_what_would_be_right(
    words: list[str], where: str, told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    code, made = answer(capsys, *words)

    assert code == 2
    assert made["error"]["where"] == where
    assert told in made["error"]["expected"]


@pytest.mark.parametrize("form", ["table", "json", "focus-csv", "focus-parquet"])
def test_a_folder_that_cannot_be_written_is_bad_input(
    form: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "nowhere" / "report"

    code = run(["report", *OCTOBER, "--format", form, "--output", str(path)])

    assert code == 2
    assert "nothing was written" in capsys.readouterr().err


def test_a_file_is_written_and_its_path_said_where_no_program_reads(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "report.json"

    code = run(["report", *OCTOBER, "--format", "json", "--output", str(path)])

    told = capsys.readouterr()
    assert code == 0
    assert not told.out
    assert str(path) in told.err
    assert json.loads(path.read_text("utf-8"))["zone"] == month.ZONE


def test_the_focus_export_is_clean_by_the_1_4_linter_and_adds_up_to_the_journal(
    home: Path, tmp_path: Path
) -> None:
    path = tmp_path / "focus.csv"

    code = run(["report", *OCTOBER, "--format", "focus-csv", "--output", str(path)])

    with path.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    lint: Any = getattr(validator, "lint_focus_1_4_structure")  # noqa: B009 - untyped
    found = lint("Cost and Usage", rows)
    assert code == 0
    assert found.ok, found.violations[:3]
    assert sum(Decimal(row["BilledCost"]) for row in rows) == charged(home)
    assert len({row["x_JournalLine"] for row in rows}) == len(rows)


def test_a_correction_is_a_row_of_its_own_and_the_row_that_it_corrects_stays(
    home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run(["report", *OCTOBER, "--format", "focus-csv"])

    rows = list(csv.DictReader(StringIO(capsys.readouterr().out)))
    corrections = [row for row in rows if row["ChargeClass"] == "Correction"]
    books = Books(f"sqlite:///{home / 'ledger.db'}")
    lines = {str(line.id): line for line in books.journal(limit=100_000)}
    books.close()
    assert any(Decimal(row["BilledCost"]) < 0 for row in corrections)
    assert {row["x_LineKind"] for row in corrections} == {"correction"}
    assert all(
        f"{lines[row['x_JournalLine']].amount_usd:.6f}" == row["BilledCost"] for row in rows
    )
    for row in corrections:
        legs = [other for other in rows if other["x_RunId"] == row["x_RunId"]]
        assert any(other["ChargeClass"] == "" for other in legs)


def test_the_parquet_export_holds_the_same_rows_with_types_and_adds_up_to_the_journal(
    home: Path, tmp_path: Path
) -> None:
    as_csv, as_parquet = tmp_path / "focus.csv", tmp_path / "focus.parquet"

    run(["report", *OCTOBER, "--format", "focus-csv", "--output", str(as_csv)])
    code = run(["report", *OCTOBER, "--format", "focus-parquet", "--output", str(as_parquet)])

    table = pd.read_parquet(as_parquet, dtype_backend="pyarrow")
    with as_csv.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert code == 0
    assert list(table.columns) == list(rows[0])
    assert table["BilledCost"].sum() == charged(home)
    assert list(table["x_JournalKey"]) == [row["x_JournalKey"] for row in rows]
    assert list(table["ChargePeriodEnd"]) == [pd.Timestamp(row["ChargePeriodEnd"]) for row in rows]
    unknown = [row["ConsumedQuantity"] == "" for row in rows]
    assert any(unknown)
    assert list(table["ConsumedQuantity"].isna()) == unknown


def test_a_parquet_file_is_never_printed(capsys: pytest.CaptureFixture[str]) -> None:
    code = run(["report", *OCTOBER, "--format", "focus-parquet"])

    told = capsys.readouterr()
    assert code == 2
    assert not told.out
    assert "--output focus.parquet" in told.err
