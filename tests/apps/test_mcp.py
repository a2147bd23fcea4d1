"""`lowtide mcp` to real clients of the official package, beside the command line's answers."""

import asyncio
import json
import time
from collections.abc import Awaitable, Callable, Iterator, Mapping
from decimal import Decimal
from pathlib import Path
from typing import Any, cast

import httpx2
import pytest
from mcp import Client, MCPError
from mcp_types import ElicitResult, TextContent, TextResourceContents

from apps import mcp_server
from apps.cli.main import run
from apps.tools import TOOLS
from blocks.ledger import Books
from blocks.settings import Settings
from lowtide.ledger.records import RunState
from tests.apps.mcp_clients import TOKEN, http_server, over_http, over_stdio

CONFIGS = '[{"epochs": 2, "batch_size": 64}, {"epochs": 2, "batch_size": 128}]'
MOVING = {"generated_at", "start", "finish"}
"""What is not the same a second later."""


def text_of(result: Any) -> str:
    [content] = result.content
    assert isinstance(content, TextContent)
    return content.text


def still(value: Any) -> Any:
    """A document without what is not the same a second later."""
    match value:
        case dict():
            whole = cast("dict[str, Any]", value)
            return {key: still(item) for key, item in whole.items() if key not in MOVING}
        case list():
            return [still(item) for item in cast("list[Any]", value)]
        case _:
            return value


@pytest.fixture(scope="module")
def address(stack: Settings, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    assert stack.home.exists()
    with http_server(tmp_path_factory.mktemp("mcp") / "log") as url:
        yield url


def commands(trained: str) -> dict[str, tuple[dict[str, Any], list[str]]]:
    """Each tool that only reads, with arguments, and the command that asks the same."""
    return {
        "check_training_budget": (
            {"budget_usd": 0.05, "epochs": 2, "batch_size": 64},
            ["check", "--budget", "0.05", "--epochs", "2", "--batch-size", "64"],
        ),
        "forecast_training_cost": (
            {"job_name": trained, "remaining_epochs": 10},
            ["forecast", trained, "--remaining-epochs", "10"],
        ),
        "recommend_cost_optimization": ({"run_id": trained}, ["recommend", trained]),
        "get_training_cost_report": (
            {"start_date": "2026-11-01"},
            ["report", "--from", "2026-11-01"],
        ),
        "compare_training_configs": ({"config_json": CONFIGS}, ["compare", CONFIGS]),
        "get_training_quota": ({"job": "digits", "jobs": 10}, ["quota", "digits", "--jobs", "10"]),
    }


async def call_all(client: Client, asked: Mapping[str, dict[str, Any]]) -> dict[str, Any]:
    """List the tools, hold them against ours, and call those that are asked."""
    listed = await client.list_tools()
    assert {tool.name for tool in listed.tools} == set(TOOLS)
    for tool in listed.tools:
        assert tool.input_schema == TOOLS[tool.name].input_schema()
        # The server writes out what ours refers to, for clients that follow no references.
        assert tool.output_schema is not None
        assert tool.output_schema["required"] == TOOLS[tool.name].output_schema()["required"]
        assert tool.annotations is not None
        assert tool.annotations.read_only_hint is not TOOLS[tool.name].spends
    return {name: await client.call_tool(name, words) for name, words in asked.items()}


def by_both(address: str, asked: Mapping[str, dict[str, Any]]) -> list[dict[str, Any]]:
    async def call() -> list[dict[str, Any]]:
        async with over_stdio() as client:
            piped = await call_all(client, asked)
        async with over_http(address) as client:
            return [piped, await call_all(client, asked)]

    return asyncio.run(call())


def printed(capsys: pytest.CaptureFixture[str], words: list[str]) -> dict[str, Any]:
    capsys.readouterr()
    assert run([*words, "--json"]) == 0
    document: dict[str, Any] = json.loads(capsys.readouterr().out)
    return document


@pytest.mark.stack
@pytest.mark.slow
@pytest.mark.timeout(600)
def test_over_stdio_and_over_http_every_tool_says_what_the_command_line_says(
    trained: str, address: str, capsys: pytest.CaptureFixture[str]
) -> None:
    asked = commands(trained)
    assert set(asked) == {name for name, tool in TOOLS.items() if not tool.spends}

    both = by_both(address, {name: words for name, (words, _) in asked.items()})

    for name, (_, words) in asked.items():
        ours = still(printed(capsys, words))
        for results in both:
            assert not results[name].is_error, text_of(results[name])
            assert still(results[name].structured_content) == ours, name
            assert text_of(results[name])


@pytest.mark.stack
@pytest.mark.slow
@pytest.mark.timeout(600)
def test_a_training_that_is_triggered_is_the_run_that_the_command_line_makes_of_the_same_key(
    stack: Settings, address: str, capsys: pytest.CaptureFixture[str]
) -> None:
    key = f"asked-{time.time_ns()}"
    words = {"job": "digits with 2 epochs", "batch_size": 128, "key": key}

    both = by_both(address, {"trigger_training_job": words})

    same = ["train", "digits", "--set", "epochs=2", "--set", "batch_size=128", "--key", key]
    ours = still(printed(capsys, same))
    for results in both:
        result = results["trigger_training_job"]
        assert not result.is_error, text_of(result)
        assert still(result.structured_content) == ours
    assert until_ended(stack, ours["run"]) is RunState.COMPLETED


def until_ended(stack: Settings, name: str) -> RunState:
    books = Books(url=stack.ledger_address)
    give_up = time.monotonic() + 400
    while time.monotonic() < give_up:
        row = books.run(name)
        if row is not None and not row.state.unfinished:
            books.close()
            return row.state
        time.sleep(0.5)
    pytest.fail(f"{name} did not end")


@pytest.fixture
def alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home where nothing runs: enough for questions before a training."""
    monkeypatch.setenv("LOWTIDE_HOME", str(tmp_path / "home"))
    for name in ("PREFECT_API_URL", "MLFLOW_TRACKING_URI"):
        monkeypatch.delenv(name, raising=False)
    return tmp_path


def served(
    use: Callable[[str], Awaitable[Any]], *, settings: Settings | None = None, **options: Any
) -> Any:
    """Serve HTTP in this process as long as a client uses it, and return what it found."""

    async def both() -> Any:
        listening = mcp_server.listen("127.0.0.1", 0)
        url = f"http://127.0.0.1:{listening.getsockname()[1]}/mcp"
        server = asyncio.create_task(
            mcp_server.serve(settings or Settings(), listening, token=TOKEN, **options)
        )
        try:
            return await use(url)
        finally:
            server.cancel()
            await asyncio.gather(server, return_exceptions=True)

    return asyncio.run(both())


async def status_of(url: str, *, token: str | None, body: bytes = b"{}") -> int:
    headers = {"Content-Type": "application/json", "Accept": "application/json, text/event-stream"}
    if token is not None:
        headers["Authorization"] = f"Bearer {token}"
    async with httpx2.AsyncClient(timeout=60) as http:
        return (await http.post(url, headers=headers, content=body)).status_code


def test_http_without_the_token_or_with_another_is_turned_away(alone: Path) -> None:
    assert alone.exists()

    async def knock(url: str) -> list[int]:
        return [await status_of(url, token=token) for token in (None, "a-guess", f"{TOKEN}x")]

    assert served(knock) == [401, 401, 401]


def test_a_request_that_is_too_large_is_not_read(alone: Path) -> None:
    assert alone.exists()
    body = b'{"padding": "' + b"x" * mcp_server.REQUEST_BYTES_MAX + b'"}'

    assert served(lambda url: status_of(url, token=TOKEN, body=body)) == 413


def test_a_body_that_is_no_json_is_an_error_of_the_protocol(alone: Path) -> None:
    assert alone.exists()

    assert served(lambda url: status_of(url, token=TOKEN, body=b"{not json")) == 400


def test_clients_that_ask_too_much_are_told_so_and_the_session_goes_on(alone: Path) -> None:
    assert alone.exists()

    async def hurry(url: str) -> tuple[list[str], bool]:
        async with over_http(url) as client:
            asked = [client.list_tools() for _ in range(20)]
            answers = await asyncio.gather(*asked, return_exceptions=True)
            refused = [str(each) for each in answers if isinstance(each, MCPError)]
            served_some = any(not isinstance(each, BaseException) for each in answers)
            return refused, served_some

    refused, served_some = served(hurry, calls_per_s=2)

    assert served_some
    assert refused
    assert all("rate limit" in message.lower() for message in refused)


def test_the_token_is_kept_where_only_its_owner_reads_it(alone: Path) -> None:
    settings = Settings(home=alone)

    token = mcp_server.stored_token(settings)

    assert len(token) >= 32
    assert mcp_server.stored_token(settings) == token
    assert (alone / "mcp-token").stat().st_mode & 0o077 == 0


def test_a_port_that_is_taken_is_one_sentence(
    alone: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert alone.exists()
    taken = mcp_server.listen("127.0.0.1", 0)
    port = str(taken.getsockname()[1])

    code = run(["mcp", "--http", "--port", port])
    taken.close()

    assert code == 1
    assert "--port" in capsys.readouterr().err


def test_what_cannot_be_used_is_an_error_answer_and_the_session_goes_on(alone: Path) -> None:
    assert alone.exists()

    async def ask(url: str) -> list[Any]:
        async with over_http(url) as client:
            return [
                await client.call_tool("check_training_budget", {"budget_usd": "five"}),
                await client.call_tool("compare_training_configs", {"config_json": "[{"}),
                await client.call_tool("recommend_cost_optimization", {"run_id": "nobody"}),
                await client.call_tool("check_training_budget", {"budget_usd": 0.05}),
            ]

    *bad, good = served(ask)

    for result in bad:
        assert result.is_error
        assert result.structured_content["error"]["remedy"]
        assert "Traceback" not in text_of(result)
    assert not good.is_error


def test_budgets_prices_and_reports_are_resources_and_the_workflows_are_prompts(
    alone: Path,
) -> None:
    assert alone.exists()

    async def look(url: str) -> tuple[dict[str, Any], list[str], str]:
        async with over_http(url) as client:
            read: dict[str, Any] = {}
            for resource in (await client.list_resources()).resources:
                [content] = (await client.read_resource(resource.uri)).contents
                assert isinstance(content, TextResourceContents)
                read[str(resource.uri)] = json.loads(content.text)
            with pytest.raises(MCPError):
                await client.read_resource("lowtide://reports/r-000000000000")
            names = [prompt.name for prompt in (await client.list_prompts()).prompts]
            words = {"job": "llm", "epochs": "5", "budget_usd": "5"}
            prompt = await client.get_prompt("train_within_a_budget", words)
            said = prompt.messages[0].content
            assert isinstance(said, TextContent)
            return read, names, said.text

    read, names, prompt = served(look)

    budgets = read["lowtide://budgets"]["budgets"]
    assert {"research/vision"} <= {budget["name"] for budget in budgets}
    assert read["lowtide://prices"]["sheet"]["version"] == "specification-1"
    assert read["lowtide://reports"]["reports"] == []
    assert len(names) == 3
    assert "check_training_budget" in prompt


class Person:
    """Somebody at a client, who is asked and says the same each time."""

    def __init__(self, action: Any, *, confirm: bool = True) -> None:
        self.answer = ElicitResult(action=action, content={"confirm": confirm})
        self.asked: list[str] = []

    async def __call__(self, _context: Any, params: Any) -> ElicitResult:
        self.asked.append(params.message)
        return self.answer


def trigger(mode: str, person: Person | None, *, above_usd: str, job: str) -> Any:
    async def ask(url: str) -> Any:
        async with over_http(url, mode=mode, elicitation_callback=person) as client:
            return await client.call_tool("trigger_training_job", {"job": job})

    return served(ask, settings=Settings(confirm_above_usd=Decimal(above_usd)))


@pytest.mark.parametrize("mode", ["auto", "legacy"])
@pytest.mark.parametrize(
    "person",
    [Person("decline"), Person("cancel"), Person("accept", confirm=False)],
    ids=["declines", "closes the question", "says no"],
)
def test_above_the_set_amount_a_person_who_does_not_agree_is_obeyed(
    person: Person, mode: str, alone: Path
) -> None:
    assert alone.exists()
    person.asked.clear()

    result = trigger(mode, person, above_usd="1", job="llm with 5 epochs")

    assert result.is_error
    assert result.structured_content["error"]["kind"] == "not-confirmed"
    [asked] = person.asked
    assert "up to $9.75" in asked
    assert Books(url=Settings().ledger_address).runs() == ()


@pytest.mark.parametrize("mode", ["auto", "legacy"])
def test_a_client_that_cannot_ask_starts_nothing_above_the_set_amount(
    mode: str, alone: Path
) -> None:
    assert alone.exists()

    result = trigger(mode, None, above_usd="1", job="llm with 5 epochs")

    assert result.is_error
    assert "cannot ask" in text_of(result)


@pytest.mark.parametrize("mode", ["auto", "legacy"])
def test_a_yes_starts_it_and_below_the_amount_nobody_is_asked(mode: str, alone: Path) -> None:
    assert alone.exists()
    person = Person("accept")

    dear = trigger(mode, person, above_usd="0", job="digits with 2 epochs")
    asked = len(person.asked)
    cheap = trigger(mode, person, above_usd="1", job="digits with 2 epochs")

    assert asked == 1
    assert len(person.asked) == 1
    # There is no stack here: that it is missing is found out only when the training is started.
    for result in (dear, cheap):
        assert "lowtide up" in text_of(result)
