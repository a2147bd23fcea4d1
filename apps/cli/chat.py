"""`lowtide chat`: ask before spending, start a training, learn from it, line by line."""

import typer


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(chat)


def chat() -> None:
    """Take tool calls as they are typed; plain language too, where LOWTIDE_MODEL names a model."""
    from apps.extras import needs  # noqa: PLC0415
    from blocks.settings import Settings  # noqa: PLC0415

    needs("prompt_toolkit", extra="agents")
    from apps.chat import talk  # noqa: PLC0415 - imports prompt_toolkit

    talk(Settings())
