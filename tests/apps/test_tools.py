"""The tools for agents: what each takes, what it says, and that it never raises."""

from pathlib import Path
from typing import Any

import jsonschema
import pytest

from apps.tool import Answer, start
from apps.tools import TOOLS, ask
from apps.trainings import Spending

CONFIGS = '[{"epochs": 2, "batch_size": 64}, {"epochs": 2, "batch_size": 128}]'


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("LOWTIDE_HOME", str(tmp_path / "home"))
    return tmp_path


def answered(name: str, **arguments: object) -> Answer:
    found = ask(name, arguments)
    assert isinstance(found, Answer)
    return found


@pytest.mark.parametrize(
    ("name", "arguments", "words"),
    [
        ("check_training_budget", {"budget_usd": 0.05, "epochs": 2, "batch_size": 64}, "feasible"),
        ("check_training_budget", {"budget_usd": 5, "job": "llm"}, "over by $1.50"),
        ("compare_training_configs", {"config_json": CONFIGS}, "batch_size 128"),
        ("forecast_training_cost", {"job_name": "llm", "remaining_epochs": 3}, "3 epochs"),
        ("get_training_cost_report", {"start_date": "2026-11-01"}, "No run used time"),
        ("get_training_quota", {}, "gpus"),
        ("get_training_quota", {"job": "llm", "jobs": 10}, "2 of 10 run now"),
    ],
)
def test_an_answer_has_the_shape_that_its_schema_says_and_a_text(
    name: str, arguments: dict[str, Any], words: str
) -> None:
    answer = answered(name, **arguments)

    jsonschema.validate(dict(answer.document), TOOLS[name].output_schema())
    assert answer.outcome == "done"
    assert words in answer.text


BAD: dict[str, tuple[str, dict[str, object], str, str]] = {
    "a word for a number": (
        "check_training_budget",
        {"budget_usd": "five"},
        "budget_usd",
        "number",
    ),
    "yes for a number": ("check_training_budget", {"budget_usd": True}, "budget_usd", "true"),
    "an infinite number": (
        "check_training_budget",
        {"budget_usd": float("inf")},
        "budget_usd",
        "finite",
    ),
    "not a number": (
        "check_training_budget",
        {"budget_usd": float("nan")},
        "budget_usd",
        "finite",
    ),
    "no money": ("check_training_budget", {"budget_usd": 0}, "budget_usd", "> 0"),
    "a huge number": (
        "check_training_budget",
        {"budget_usd": 1, "epochs": 10**40},
        "epochs",
        "<= 1000000",
    ),
    "half an epoch": (
        "check_training_budget",
        {"budget_usd": 1, "epochs": 1.5},
        "epochs",
        "integer",
    ),
    "a list for a number": ("check_training_budget", {"budget_usd": [1]}, "budget_usd", "Decimal"),
    "an unknown parameter": (
        "check_training_budget",
        {"budget_usd": 1, "epoch": 2},
        "epoch",
        "unknown parameter",
    ),
    "a missing parameter": ("forecast_training_cost", {}, "job_name", "missing"),
    "an unknown run": (
        "forecast_training_cost",
        {"job_name": "r-000000000000"},
        "run",
        "no such",
    ),
    "an unknown job": (
        "forecast_training_cost",
        {"job_name": "nobody", "remaining_epochs": 2},
        "run",
        "no such",
    ),
    "a file for a job's name": (
        "check_training_budget",
        {"budget_usd": 1, "job": "/etc/passwd"},
        "job",
        "no such job",
    ),
    "a path that climbs": (
        "trigger_training_job",
        {"job": "../../tmp/job"},
        "job",
        "not clear",
    ),
    "a date in another format": (
        "get_training_cost_report",
        {"start_date": "01/11/2026"},
        "start_date",
        "2026-11-01",
    ),
    "a day that there is not": (
        "get_training_cost_report",
        {"end_date": "2026-11-31"},
        "end_date",
        "whole date",
    ),
    "dates that are reversed": (
        "get_training_cost_report",
        {"start_date": "2026-11-20", "end_date": "2026-11-01"},
        "start_date, end_date",
        "swap them",
    ),
    "no jobs at all": ("get_training_quota", {"jobs": 0}, "jobs", ">= 1"),
    "a number for a date": (
        "get_training_cost_report",
        {"start_date": 1764201600},
        "start_date",
        "string",
    ),
    "configurations that are no JSON": (
        "compare_training_configs",
        {"config_json": '[{"epochs": 2'},
        "config_json",
        "not JSON",
    ),
    "configurations that are no list": (
        "compare_training_configs",
        {"config_json": '{"epochs": 2}'},
        "config_json",
        "a list",
    ),
    "a configuration with a bad value": (
        "compare_training_configs",
        {"config_json": '[{"epochs": 2}, {"batch_size": -1}]'},
        "config_json: 1: batch_size",
        ">= 1",
    ),
    "configurations nested without end": (
        "compare_training_configs",
        {"config_json": "[" * 100_000},
        "config_json",
        "JSON",
    ),
    "a sentence that is not understood": (
        "trigger_training_job",
        {"job": "everything, twice"},
        "job",
        "NAME with N epochs",
    ),
    "a sentence and a parameter that disagree": (
        "trigger_training_job",
        {"job": "digits with 2 epochs", "epochs": 3},
        "epochs",
        "give it once",
    ),
    "a policy that there is not": (
        "trigger_training_job",
        {"job": "digits", "policy": "hope"},
        "policy",
        "off-peak",
    ),
}


@pytest.mark.parametrize("fault", BAD)
def test_what_cannot_be_used_is_an_answer_that_names_the_parameter_and_the_remedy(
    fault: str,
) -> None:
    name, arguments, where, words = BAD[fault]

    answer = answered(name, **arguments)

    error = answer.document["error"]
    assert answer.outcome == "failed"
    assert answer.document["schema"] == "lowtide.error/1"
    assert where in error["where"]
    assert words in answer.text
    assert error["remedy"]
    assert "Traceback" not in answer.text


def test_a_tool_that_there_is_not_is_an_answer_too() -> None:
    answer = answered("delete_everything")

    assert "check_training_budget" in answer.document["error"]["expected"]


@pytest.mark.parametrize(
    ("words", "epochs", "batch_size"),
    [
        ({"job": "digits with 2 epochs"}, 2, 64),
        ({"job": "digits for 1 epoch"}, 1, 64),
        ({"job": "Digits with 2 epochs and batch size 128"}, 2, 128),
        ({"job": "digits", "epochs": 4, "batch_size": 32}, 4, 32),
        ({"job": "digits with 2 epochs", "epochs": 2}, 2, 64),
    ],
)
def test_a_training_is_checked_and_priced_before_it_is_started(
    words: dict[str, Any], epochs: int, batch_size: int
) -> None:
    found = ask("trigger_training_job", words)

    assert isinstance(found, Spending)
    job = found.training.ask.job
    assert (job.name, job.epochs, job.batch_size) == ("digits", epochs, batch_size)
    assert 0 < found.forecast_usd <= found.hold_usd
    assert found.training.ledger.run(found.training.run) is None


def test_what_the_user_picked_is_what_is_asked_for() -> None:
    found = ask(
        "trigger_training_job",
        {
            "job": "llm",
            "capacity": "spot",
            "policy": "off-peak",
            "max_usd": 4.5,
            "priority": "urgent",
        },
    )

    assert isinstance(found, Spending)
    job = found.training.ask.job
    assert (job.capacity, job.policy, job.priority) == ("spot", "off-peak", "urgent")
    assert str(job.budget.max_usd) == "4.5"
    assert "spot capacity, policy off-peak" in found.question


def test_without_a_stack_a_training_is_not_started_and_the_answer_says_what_to_do(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("PREFECT_API_URL", raising=False)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    found = ask("trigger_training_job", {"job": "digits with 2 epochs"})
    assert isinstance(found, Spending)

    answer = start(found)

    assert answer.outcome == "failed"
    assert "lowtide up" in answer.text
