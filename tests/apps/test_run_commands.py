"""The commands about runs, against a stack with a real run in it."""

import json
import time
from collections.abc import Iterator
from decimal import Decimal
from typing import Any

import pytest

from apps.cli.main import run
from blocks.ledger import Books
from blocks.settings import Settings
from lowtide.ledger.records import RunState

pytestmark = pytest.mark.stack

SMALL = ["--set", "epochs=3", "--set", "params.copies=1", "--set", "expected_epoch_s=3"]


@pytest.fixture
def books(stack: Settings) -> Iterator[Books]:
    opened = Books(url=stack.ledger_address)
    yield opened
    opened.close()


def answer(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, Any]:
    capsys.readouterr()
    code = run([*words, "--json"])
    return code, json.loads(capsys.readouterr().out)


def test_train_answers_with_the_money_to_the_micro_dollar(
    stack: Settings, capsys: pytest.CaptureFixture[str]
) -> None:
    assert stack.home.exists()
    code, found = answer(capsys, "train", "--wait", "--new", *SMALL)

    assert code == 0
    assert found["schema"] == "lowtide.train/1"
    assert found["state"] == "completed"
    held, charged, released = (
        Decimal(found[key]) for key in ("held_usd", "charged_usd", "released_usd")
    )
    assert held == charged + released
    assert charged > 0
    assert found["report_path"].endswith(f"{found['run']}.html")
    assert found["flow_run_id"] in found["flow_run_url"]
    assert [leg["cause"] for leg in found["legs"]] == ["completed"]


@pytest.mark.timeout(300)
def test_the_worker_trains_what_is_handed_over_and_the_same_request_is_not_made_twice(
    stack: Settings, books: Books, capsys: pytest.CaptureFixture[str]
) -> None:
    assert stack.home.exists()
    words = ["train", "--key", f"handed-{time.time_ns()}", *SMALL]
    code, first = answer(capsys, *words)
    _, second = answer(capsys, *words)

    assert code == 0
    assert first["state"] == "submitted"
    assert first["flow_run_id"] == second["flow_run_id"]
    give_up = time.monotonic() + 240
    while time.monotonic() < give_up:
        row = books.run(first["run"])
        if row is not None and not row.state.unfinished:
            break
        time.sleep(0.5)
    row = books.run(first["run"])
    assert row is not None
    assert row.state is RunState.COMPLETED
    assert len(books.legs(first["run"])) == 1


def test_a_run_is_shown_with_its_legs_epochs_and_decisions(
    trained: str, capsys: pytest.CaptureFixture[str]
) -> None:
    code, found = answer(capsys, "jobs", "show", trained, "--logs")

    assert code == 0
    assert found["state"] == "completed"
    assert found["epochs"][-1]["epochs_done"] == 3
    assert found["decisions"][0]["decision"] == "run-on-demand"
    assert any("epoch" in line for line in found["logs"])
    assert run(["jobs", "show", trained, "--decisions"]) == 0
    assert "run-on-demand: the policy is to run at once" in capsys.readouterr().out


def test_a_run_is_found_by_its_jobs_name_too(
    trained: str, capsys: pytest.CaptureFixture[str]
) -> None:
    _, listed = answer(capsys, "jobs")
    _, shown = answer(capsys, "jobs", "show", "digits")

    assert trained in [row["run"] for row in listed["runs"]]
    assert shown["job"] == "digits"


def test_more_epochs_of_it_are_forecast_from_what_was_measured(
    trained: str, capsys: pytest.CaptureFixture[str]
) -> None:
    code, found = answer(capsys, "forecast", trained, "--remaining-epochs", "10")

    assert code == 0
    assert found["epochs_remaining"] == 10
    assert found["based_on"] == "epochs"
    time_s = found["time_remaining_s"]
    assert 0 <= time_s["p10"] <= time_s["p50"] <= time_s["p90"]
    assert time_s["p50"] > 0
    assert run(["forecast", trained]) == 0


def test_advice_on_it_is_what_the_flow_wrote_down(
    trained: str, books: Books, capsys: pytest.CaptureFixture[str]
) -> None:
    code, found = answer(capsys, "recommend", trained)

    assert code == 0
    written = books.events(trained, kind="recommendations")[-1].body["recommendations"]
    assert [item["kind"] for item in found["recommendations"]] == [
        item["kind"] for item in written
    ]
    assert run(["recommend", trained]) == 0


def test_stopping_a_run_that_has_ended_changes_nothing(
    trained: str, capsys: pytest.CaptureFixture[str]
) -> None:
    code, found = answer(capsys, "jobs", "stop", trained)

    assert code == 0
    assert found["asked"] is False


def test_with_every_run_ended_there_is_nothing_to_reconcile_and_the_doctor_is_content(
    trained: str, capsys: pytest.CaptureFixture[str]
) -> None:
    code, found = answer(capsys, "reconcile")
    health, looked = answer(capsys, "doctor")

    assert trained
    assert code == 0
    assert found["found"] == []
    assert health == 0, looked
    assert {finding["what"] for finding in looked["findings"]} >= {
        "ledger",
        "price book",
        "worker",
    }


def test_up_again_changes_nothing_and_status_says_where_things_are(
    stack: Settings, capsys: pytest.CaptureFixture[str]
) -> None:
    _, first = answer(capsys, "status")
    code, _ = answer(capsys, "up")
    _, second = answer(capsys, "status")

    assert code == 0
    assert stack.home.exists()
    assert first["parts"] == second["parts"]
    assert second["missing"] == []


def test_without_a_stack_train_says_what_to_do(
    tmp_path: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("LOWTIDE_HOME", str(tmp_path))
    monkeypatch.delenv("PREFECT_API_URL", raising=False)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)

    code, found = answer(capsys, "train", "--wait", *SMALL)

    assert code == 1
    assert "lowtide up" in found["error"]["remedy"]
