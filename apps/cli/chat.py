"""`lowtide chat`: ask before spending, start a training, learn from it, line by line."""

import typer


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(chat)


def chat() -> None:
    """Take tool calls as they are typed; plain language too, where LOWTIDE_MODEL names a model."""
    from apps.extras import needs
    from blocks.settings import Settings

    needs("prompt_toolkit", extra="agents")
    from apps.chat import talk  # imports prompt_toolkit

    talk(Settings())
