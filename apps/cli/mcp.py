"""`lowtide mcp`: the tools for agents, over the Model Context Protocol."""

from typing import Annotated

import typer


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(mcp)


def mcp(
    *,
    http: Annotated[
        bool, typer.Option("--http", help="Serve HTTP with a token; default: this process's pipe.")
    ] = False,
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65_535, help="Port; 0: any free one.")] = 8765,
) -> None:
    """Serve the tools to an MCP client."""
    from apps.extras import needs
    from blocks.settings import Settings

    needs("fastmcp", extra="agents")
    from apps.mcp_server import serve_http, serve_stdio  # imports FastMCP

    if http:
        serve_http(Settings(), host=host, port=port)
    else:
        serve_stdio(Settings())
