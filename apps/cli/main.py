"""Puts the commands together, and turns whatever goes wrong into one sentence and an exit code."""

import sys
from collections.abc import Sequence
from typing import NoReturn

import typer
from typer.exceptions import TyperException

from apps.cli import (
    backtest,
    budget,
    chat,
    check,
    compare,
    doctor,
    forecast,
    jobs,
    mcp,
    metrics,
    plan,
    quota,
    recommend,
    reconcile,
    report,
    schema,
    stack,
    train,
)
from apps.output import fail
from lowtide.errors import BadInputError, LowtideError

_EXIT_INTERRUPTED = 130
_COMMANDS = (
    stack,
    train,
    plan,
    check,
    compare,
    forecast,
    recommend,
    jobs,
    metrics,
    budget,
    quota,
    backtest,
    reconcile,
    report,
    schema,
    doctor,
    mcp,
    chat,
)


def build() -> typer.Typer:
    """Return the application with all its commands."""
    app = typer.Typer(
        name="lowtide",
        help="GPU training that runs when it is cheap, meets its deadline, and cannot overspend.",
        no_args_is_help=True,
        add_completion=False,
        pretty_exceptions_enable=False,
    )
    for command in _COMMANDS:
        command.register(app)
    return app


def main(arguments: Sequence[str] | None = None) -> NoReturn:
    """Run one command and exit with its code.

    Args:
        arguments: The words after `lowtide`; the process's own by default.
    """
    words = list(sys.argv[1:] if arguments is None else arguments)
    sys.exit(run(words))


def run(words: list[str]) -> int:
    """Run one command and return its exit code.

    Args:
        words: The words after `lowtide`.
    """
    as_json = "--json" in words
    try:
        code = build()(args=words, prog_name="lowtide", standalone_mode=False)
    except (typer.Abort, KeyboardInterrupt):
        return _EXIT_INTERRUPTED
    except Exception as error:  # noqa: BLE001 - the last resort: nobody is shown a traceback
        return fail(_explained(error), as_json=as_json)
    return int(code or 0)


def _explained(error: Exception) -> LowtideError:
    match error:
        case LowtideError():
            return error
        case TyperException():
            remedy = "`lowtide --help` lists the commands; `lowtide COMMAND --help` its options"
            return BadInputError(_usage(error), remedy=remedy)
        case _:
            from apps.crashes import explained  # only where something broke

            return explained(error)


def _usage(error: TyperException) -> str:
    # Typer's own errors carry their sentence in `format_message`; asking for nothing carries help.
    message = getattr(error, "format_message", None)
    return str(message()) if callable(message) else str(error)


if __name__ == "__main__":
    main()
