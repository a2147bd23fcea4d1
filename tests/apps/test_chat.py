"""`lowtide chat`: as a person sees it in a pseudo-terminal, and as a program that pipes into it."""

import io
import os
import sys
from decimal import Decimal
from pathlib import Path

import pexpect
import pytest
from prompt_toolkit.completion import CompleteEvent
from prompt_toolkit.document import Document

from apps.chat import Chat, ToolCompleter, help_text, open_chat, talk
from apps.cli.main import run
from apps.tool_calls import parse_call
from apps.tools import TOOLS
from blocks.ledger import Books
from blocks.settings import Settings
from lowtide.errors import BadInputError

UP, TAB = "\x1b[A", "\t"


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("LOWTIDE_HOME", str(tmp_path / "home"))
    for name in ("LOWTIDE_MODEL", "PREFECT_API_URL", "MLFLOW_TRACKING_URI"):
        monkeypatch.delenv(name, raising=False)
    return tmp_path / "home"


@pytest.mark.parametrize(
    ("line", "arguments"),
    [
        (
            "check_training_budget 0.05 2 64",
            {"budget_usd": "0.05", "epochs": "2", "batch_size": "64"},
        ),
        ("check_training_budget 5 job=llm", {"budget_usd": "5", "job": "llm"}),
        ("  forecast_training_cost   llm  3 ", {"job_name": "llm", "remaining_epochs": "3"}),
        (
            'compare_training_configs [{"epochs": 2, "batch_size": 64}]',
            {"config_json": '[{"epochs": 2, "batch_size": 64}]'},
        ),
        (
            "compare_training_configs '[{\"epochs\": 2}]' job=llm",
            {"config_json": '[{"epochs": 2}]', "job": "llm"},
        ),
        ("trigger_training_job mnist with 2 epochs", {"job": "mnist with 2 epochs"}),
        (
            "trigger_training_job llm capacity=spot max_usd=5",
            {"job": "llm", "capacity": "spot", "max_usd": "5"},
        ),
        ("recommend_cost_optimization", {}),
    ],
)
def test_a_typed_line_is_a_tool_call(line: str, arguments: dict[str, str]) -> None:
    call = parse_call(line)

    assert call is not None
    assert call.name == line.split(maxsplit=1)[0]
    assert call.arguments == arguments


@pytest.mark.parametrize(
    "line", ["check_training_budget 1 2 3 llm 5", "compare_training_configs '[{"]
)
def test_a_line_with_too_many_words_or_an_open_quote_is_refused(line: str) -> None:
    with pytest.raises(BadInputError) as found:
        parse_call(line)

    assert found.value.where == line.split(maxsplit=1)[0]
    assert found.value.remedy


def test_help_names_every_tool_and_tells_all_of_one() -> None:
    everything = help_text(None)
    one = help_text("check_training_budget")

    assert all(name in everything for name in TOOLS)
    assert "budget_usd: What there is, US dollars." in one
    assert "the verdict is taken on the hold" in one


def completions(text: str) -> list[str]:
    completer = ToolCompleter(Settings())
    found = completer.get_completions(Document(text), CompleteEvent(completion_requested=True))
    return [completion.text for completion in found]


def test_names_of_tools_jobs_and_parameters_are_completed() -> None:
    assert completions("check_t") == ["check_training_budget"]
    assert completions("forecast_training_cost d") == ["digits"]
    assert completions("help comp") == ["compare_training_configs"]
    assert completions("trigger_training_job digits ca") == ["capacity="]
    assert completions("what now") == []


def test_without_a_model_it_says_what_it_can_do_and_does_it(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    lines = "how much is it?\nchek_training_budget 1\ncheck_training_budget 5 job=llm\nexit\nnot read\n"
    monkeypatch.setattr(sys, "stdin", io.StringIO(lines))

    code = run(["chat"])

    out = capsys.readouterr().out
    assert code == 0
    assert "no model is configured (LOWTIDE_MODEL)" in out
    assert "did you mean check_training_budget?" in out
    assert "over by $1.50" in out
    assert "Traceback" not in out


def test_piped_into_it_nothing_is_spent_for_nobody_can_agree(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "stdin", io.StringIO("trigger_training_job digits with 2 epochs\n"))

    talk(Settings())

    assert "not started" in capsys.readouterr().out
    assert Books(url=Settings().ledger_address).runs() == ()


def test_a_training_is_started_after_a_yes_to_the_very_sum() -> None:
    asked: list[str] = []

    def yes(question: str) -> bool:
        asked.append(question)
        return True

    chat = Chat(confirm=yes)
    said = chat.answer("trigger_training_job digits with 2 epochs")
    chat.close()

    [question] = asked
    assert "2 epochs" in question
    assert "up to $" in question
    assert "lowtide up" in said  # that there is no stack is found out only when it starts


def test_a_model_that_is_not_there_is_one_sentence_and_tools_go_on(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("LOWTIDE_MODEL", "nobody:nothing")
    chat = open_chat(Settings(), confirm=lambda _: False)

    said = chat.answer("how much is it?")
    called = chat.answer("check_training_budget 0.05 2 64")
    chat.close()

    assert "LOWTIDE_MODEL" in said
    assert "Traceback" not in said
    assert "feasible" in called


@pytest.fixture
def terminal(home: Path) -> "pexpect.spawn[str]":
    environment = {
        **os.environ,
        "LOWTIDE_HOME": str(home),
        "TERM": "xterm",
        "PROMPT_TOOLKIT_NO_CPR": "1",
    }
    spawned: pexpect.spawn[str] = pexpect.spawn(
        sys.executable,
        ["-c", "from apps.cli import main; main()", "chat"],
        encoding="utf-8",
        timeout=300,
        dimensions=(50, 200),
        env=environment,
    )
    spawned.expect("Ctrl-D ends")
    spawned.expect("lowtide>")
    return spawned


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_a_session_in_a_terminal(terminal: "pexpect.spawn[str]", home: Path) -> None:
    terminal.send(f"check_tr{TAB}")
    terminal.expect("aining_budget")
    terminal.sendline(" 0.05 2 64")
    terminal.expect("status +feasible")

    terminal.expect("lowtide>")
    terminal.sendline("check_training_budget five")
    terminal.expect("budget_usd: .*expected a number")

    terminal.expect("lowtide>")
    terminal.send(UP)
    terminal.expect("five")
    terminal.send(UP)
    terminal.sendline("")
    terminal.expect("status +feasible")

    terminal.expect("lowtide>")
    terminal.send("half-a-line")
    terminal.expect("half-a-line")
    terminal.sendintr()
    terminal.expect("interrupted; Ctrl-D ends")

    terminal.expect("lowtide>")
    terminal.sendline("trigger_training_job digits with 2 epochs")
    terminal.expect(r"up to \$.*\[y/N\]")
    terminal.sendintr()
    terminal.expect("not started, nothing was held")

    terminal.expect("lowtide>")
    terminal.sendeof()
    terminal.expect(pexpect.EOF)
    terminal.close()
    assert terminal.exitstatus == 0
    assert "check_training_budget 0.05 2 64" in (home / "chat-history").read_text("utf-8")


def test_the_limit_of_a_conversation_is_a_setting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOWTIDE_MODEL", "test")
    monkeypatch.setenv("LOWTIDE_CHAT_LIMIT_USD", "0.25")

    chat = open_chat(Settings(), confirm=lambda _: False)
    chat.close()

    assert chat.conversation is not None
    assert chat.conversation.purse.limit_usd == Decimal("0.25")
