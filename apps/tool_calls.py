"""Tool calls as people type them: `check_training_budget 0.05 2 64`.

Words are parameters in the tool's own order, or NAME=VALUE. Values stay text: the tool's model reads
them, so a typed call is checked by the same rules as one from a program.
"""

import inspect
import shlex
from collections.abc import Sequence
from dataclasses import dataclass

from apps.tool import Tool
from apps.tools import TOOLS
from lowtide.errors import BadInputError


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolCall:
    """A tool with its parameters as text."""

    name: str
    arguments: dict[str, object]


def parse_call(line: str) -> ToolCall | None:
    """Return the call that a line is; None where it does not begin with a tool's name.

    Raises:
        BadInputError: a quote is open, or there are more words than parameters.

    Examples:
        >>> parse_call("check_training_budget 0.05 2 64").arguments
        {'budget_usd': '0.05', 'epochs': '2', 'batch_size': '64'}
        >>> parse_call("trigger_training_job digits with 2 epochs").arguments
        {'job': 'digits with 2 epochs'}
        >>> parse_call("how much is it?") is None
        True
    """
    name, _, rest = line.strip().partition(" ")
    tool = TOOLS.get(name)
    if tool is None:
        return None
    rest = rest.strip()
    if rest.startswith(("[", "{")):  # JSON as it is, whose quotes are its own
        return ToolCall(name=name, arguments={parameters(tool)[0]: rest})
    return ToolCall(name=name, arguments=_arguments(tool, _words(rest, name)))


def parameters(tool: Tool) -> tuple[str, ...]:
    """Return the names of a tool's parameters, in order."""
    return tuple(inspect.signature(tool.call).parameters)


def usage(tool: Tool) -> str:
    """Return how a tool is typed, as in "forecast_training_cost JOB_NAME [REMAINING_EPOCHS]".

    Examples:
        >>> usage(TOOLS["forecast_training_cost"])
        'forecast_training_cost JOB_NAME [REMAINING_EPOCHS]'
    """
    words = [
        each.name.upper() if each.default is each.empty else f"[{each.name.upper()}]"
        for each in inspect.signature(tool.call).parameters.values()
    ]
    return " ".join([tool.name, *words])


def _words(text: str, name: str) -> list[str]:
    try:
        return shlex.split(text)
    except ValueError:
        msg = "a quote is not closed"
        raise BadInputError(msg, where=name, got=text, remedy="close it") from None


def _arguments(tool: Tool, words: Sequence[str]) -> dict[str, object]:
    names = parameters(tool)
    named = {
        word.partition("=")[0]: word.partition("=")[2]
        for word in words
        if word.partition("=")[0] in names and "=" in word
    }
    by_place = [word for word in words if word.partition("=")[0] not in named]
    if tool.words is not None:
        return {tool.words: " ".join(by_place), **named} if by_place else {**named}
    free = [name for name in names if name not in named]
    if len(by_place) > len(free):
        msg = "there are more words than parameters"
        raise BadInputError(
            msg,
            where=tool.name,
            expected=usage(tool),
            got=" ".join(words),
            remedy="put a value with spaces in quotes",
        )
    return {**dict(zip(free, by_place, strict=False)), **named}
