"""`lowtide plan`: ranked ways to run, and an exit code that a program can act on."""

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from apps.cli.main import run

LLM = "examples/llm/job.yaml"


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOWTIDE_HOME", str(tmp_path / "home"))


def plan(capsys: pytest.CaptureFixture[str], *changes: str, job: str = LLM) -> tuple[int, Any]:
    words = ["budget.name=research", "budget.max_usd=9", *changes]
    code = run(["plan", job, *(word for each in words for word in ("--set", each)), "--json"])
    return code, json.loads(capsys.readouterr().out)


def in_hours(hours: float) -> str:
    return f"deadline={(datetime.now(UTC) + timedelta(hours=hours)).isoformat()}"


def test_the_options_of_a_long_job_are_ranked_with_all_that_a_choice_needs(
    capsys: pytest.CaptureFixture[str],
) -> None:
    code, found = plan(capsys, in_hours(120))

    assert code == 0
    assert found["schema"] == "lowtide.plan/1"
    assert found["feasible"] is True
    options = found["options"]
    assert [option["rank"] for option in options] == list(range(1, len(options) + 1))
    assert {"now", "spot", "mixed", "off-peak-pieces"} <= {option["kind"] for option in options}
    keys = {"flavor", "capacity", "start", "finish", "cost_usd", "saves_usd", "meets_deadline"}
    assert keys | {"fits_budget", "why", "risk", "change"} <= set(options[0])
    # What is worse on a hard limit never comes first, and then the cheaper one does.
    assert options[0]["meets_deadline"] is options[0]["fits_budget"] is True
    now = next(option for option in options if option["kind"] == "now")
    assert float(options[0]["cost_usd"]["p50"]) < float(now["cost_usd"]["p50"])


@pytest.mark.parametrize("hours", [20, -3], ids=["too tight", "in the past"])
def test_an_infeasible_deadline_is_refused_with_what_would_fit(
    hours: float, capsys: pytest.CaptureFixture[str]
) -> None:
    code, found = plan(capsys, in_hours(hours))

    assert code == 3
    assert found["feasible"] is False
    assert found["refused"]["reason"] == "deadline"
    assert "late" in found["refused"]["message"]
    assert "or later would do" in found["refused"]["remedy"]


def test_a_person_reads_a_table_and_the_refusal(capsys: pytest.CaptureFixture[str]) -> None:
    code = run(["plan", LLM, "--set", "budget.name=research", "--set", in_hours(20)])

    shown = capsys.readouterr()
    assert code == 3
    assert "run on demand at once" in shown.out
    assert "refused: the deadline is too tight" in shown.err


def test_a_policy_that_does_not_exist_is_bad_input(capsys: pytest.CaptureFixture[str]) -> None:
    code, found = plan(capsys, "policy=eager")

    assert code == 2
    assert "uniform-progress" in found["error"]["expected"]
