"""`lowtide chat`: tool calls as they are typed, and plain language where a model is configured."""

import asyncio
import difflib
import sys
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeAlias

from prompt_toolkit import PromptSession
from prompt_toolkit.completion import CompleteEvent, Completer, Completion
from prompt_toolkit.document import Document
from prompt_toolkit.history import FileHistory
from typing_extensions import override

from apps import tools
from apps.books import open_ledger
from apps.extras import needs
from apps.files import job_names
from apps.purse import Purse
from apps.tool import not_confirmed, start
from apps.tool_calls import parameters, parse_call, usage
from apps.tools import TOOLS
from apps.trainings import Spending
from apps.yes_no import said_yes
from blocks.settings import Settings
from lowtide.errors import LowtideError
from lowtide.money import show_usd

if TYPE_CHECKING:
    from apps.agent import Conversation

Confirm: TypeAlias = Callable[[str], bool]

_PROMPT = "lowtide> "
_RUNS_MAX = 20
_ENDS = frozenset({"exit", "quit"})
_EXAMPLE = "check_training_budget 0.05 2 64"


@dataclass(slots=True, kw_only=True)
class Chat:
    """Answers lines.

    Attributes:
        confirm: Asks the person before money is spent.
        conversation: With the agent; None where no model is configured.
    """

    confirm: Confirm
    conversation: "Conversation | None" = None
    _runner: asyncio.Runner = field(default_factory=asyncio.Runner)

    def answer(self, line: str) -> str:
        """Return the answer to a line; what goes wrong is the answer.

        Args:
            line: A tool call, `help`, or plain language.
        """
        words = line.split()
        if words and words[0] in {"help", "?"}:
            return help_text(words[1] if len(words) > 1 else None)
        try:
            call = parse_call(line)
            if call is not None:
                return self._called(call.name, call.arguments)
            if self.conversation is not None:
                return self._runner.run(self.conversation.say(line))
        except LowtideError as error:
            return str(error)
        return _not_understood(line)

    def close(self) -> None:
        """Let go of what the agent keeps open."""
        self._runner.close()

    def _called(self, name: str, arguments: dict[str, object]) -> str:
        found = tools.ask(name, arguments)
        if not isinstance(found, Spending):
            return found.text
        if not self.confirm(f"May lowtide {found.question}?"):
            return not_confirmed(found, why="nobody agreed to it").text
        return start(found).text


def open_chat(settings: Settings, *, confirm: Confirm) -> Chat:
    """Return a chat, with the agent where a model is configured.

    Raises:
        UnavailableError: a model is configured, and the package for it is not installed.
    """
    if settings.model is None:
        return Chat(confirm=confirm)
    needs("pydantic_ai", extra="agents")
    from apps.agent import Conversation  # imports pydantic-ai

    purse = Purse(limit_usd=settings.chat_limit_usd)
    return Chat(
        confirm=confirm,
        conversation=Conversation(model=settings.model, purse=purse, confirm=confirm),
    )


def talk(settings: Settings) -> None:
    """Read lines and answer them until the input ends."""
    at_terminal = sys.stdin.isatty()
    chat = open_chat(settings, confirm=said_yes if at_terminal else _nobody)
    try:
        if at_terminal:
            print(welcome(settings))
            _at_a_terminal(chat, settings)
        else:
            for line in filter(str.strip, sys.stdin):
                if line.strip() in _ENDS:
                    break
                print(chat.answer(line), flush=True)
    finally:
        chat.close()


def welcome(settings: Settings) -> str:
    """Return what a person is told at first."""
    if settings.model is None:
        language = "plain language needs a model: set LOWTIDE_MODEL, as in anthropic:NAME"
    else:
        limit = show_usd(settings.chat_limit_usd)
        language = f"or say it in your own words ({settings.model}; it may set aside {limit})"
    return (
        f"type a tool call, as in {_EXAMPLE}\n{language}\nhelp lists the tools, Tab completes, "
        "Ctrl-D ends"
    )


def help_text(name: str | None) -> str:
    """Return what can be typed, or all about one tool."""
    tool = TOOLS.get(name or "")
    if tool is None:
        lines = [
            f"{usage(tool)}\n    {tool.description.splitlines()[0]}" for tool in TOOLS.values()
        ]
        return "\n".join([*lines, "help TOOL says more; exit ends"])
    properties = tool.input_schema()["properties"]
    lines = [f"  {name}: {properties[name].get('description', '')}" for name in parameters(tool)]
    return "\n".join([usage(tool), tool.description, *lines])


class ToolCompleter(Completer):
    """Completes tools' names, then jobs, runs and parameters."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings

    @override
    def get_completions(
        self, document: Document, complete_event: CompleteEvent
    ) -> Iterable[Completion]:
        """Yield what may stand at the cursor."""
        before = document.text_before_cursor
        *earlier, word = before.split(" ")
        for candidate in self._candidates(earlier):
            if candidate.startswith(word):
                yield Completion(candidate, start_position=-len(word))

    def _candidates(self, earlier: list[str]) -> list[str]:
        if not earlier:
            return [*TOOLS, "help", "exit"]
        if earlier[0] == "help":
            return list(TOOLS)
        tool = TOOLS.get(earlier[0])
        if tool is None:
            return []
        names = parameters(tool)
        first = names[0] if len(earlier) == 1 else ""
        things: list[str] = []
        if first in {"job", "job_name"}:
            things += job_names(self._settings)
        if first in {"job_name", "run_id"}:
            runs = open_ledger(self._settings).runs(limit=_RUNS_MAX)
            things += dict.fromkeys([*(row.run for row in runs), *(row.name for row in runs)])
        return [*dict.fromkeys(things), *(f"{name}=" for name in names)]


def _at_a_terminal(chat: Chat, settings: Settings) -> None:
    settings.home.mkdir(parents=True, exist_ok=True)
    session: PromptSession[str] = PromptSession(
        history=FileHistory(str(settings.home / "chat-history")),
        completer=ToolCompleter(settings),
        complete_while_typing=False,
    )
    while True:
        try:
            line = session.prompt(_PROMPT).strip()
            if line in _ENDS:
                return
            if line:
                print(chat.answer(line))
        except KeyboardInterrupt:
            print("interrupted; Ctrl-D ends")
        except EOFError:
            return


def _not_understood(line: str) -> str:
    first = line.split(maxsplit=1)[0]
    near = difflib.get_close_matches(first, TOOLS, n=1)
    hint = f"did you mean {near[0]}?\n" if near else ""
    names = "\n".join(f"  {usage(tool)}" for tool in TOOLS.values())
    return (
        f"{hint}no model is configured (LOWTIDE_MODEL), so plain language is not understood.\n"
        f"What can be typed:\n{names}\nas in: {_EXAMPLE}"
    )


def _nobody(_question: str) -> bool:
    return False
