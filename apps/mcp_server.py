"""The MCP server: the tools, what they rest on as resources, the workflows as prompts.

A call runs in a thread of its own, so that none waits for another's database or network. Whatever
goes wrong in one is its answer, marked as an error, never a traceback.

Over HTTP every request needs the token. The server listens on loopback unless it is told otherwise.
"""

import asyncio
import hmac
import secrets
import socket
import threading
from importlib import import_module
from pathlib import Path

from fastmcp import FastMCP
from fastmcp.server.auth.auth import AccessToken, TokenVerifier
from fastmcp.server.middleware.rate_limiting import RateLimitingMiddleware
from mcp.server.transport_security import RequestBodyLimitMiddleware
from starlette.middleware import Middleware
from typing_extensions import override

from apps import mcp_texts, output, tools
from apps.books import open_ledger
from apps.mcp_tools import offered
from blocks.settings import Settings
from lowtide.errors import UnavailableError

REQUEST_BYTES_MAX = 1024 * 1024
CALLS_PER_S_MAX = 50.0
_TOKEN_BYTES = 32
_JSON = "application/json"
_INSTRUCTIONS = """\
lowtide trains within budgets. Ask check_training_budget before a training, and quote figures only
from tool answers. Start a training only when the user asked for that very training."""


def build(
    settings: Settings, *, token: str | None = None, calls_per_s: float = CALLS_PER_S_MAX
) -> FastMCP[None]:
    """Return the server with its tools, resources and prompts.

    Args:
        settings: Where everything is, and above which hold a person is asked.
        token: What HTTP clients must present; None where only a parent process can connect.
        calls_per_s: How much all clients may ask together; twice as much in one burst.
    """
    server: FastMCP[None] = FastMCP(
        "lowtide",
        instructions=_INSTRUCTIONS,
        auth=None if token is None else _OneToken(token),
        middleware=[RateLimitingMiddleware(max_requests_per_second=calls_per_s)],
        mask_error_details=True,
    )
    for tool in tools.TOOLS.values():
        server.add_tool(offered(tool, confirm_above_usd=settings.confirm_above_usd))
    server.resource("lowtide://budgets", mime_type=_JSON)(mcp_texts.budgets)
    server.resource("lowtide://prices", mime_type=_JSON)(mcp_texts.prices)
    server.resource("lowtide://reports", mime_type=_JSON)(mcp_texts.reports)
    server.resource("lowtide://reports/{run}", mime_type=_JSON)(mcp_texts.report)
    server.prompt(mcp_texts.train_within_a_budget)
    server.prompt(mcp_texts.make_the_next_run_cheaper)
    server.prompt(mcp_texts.run_many_at_once)
    return server


def serve_stdio(settings: Settings) -> None:
    """Serve the process that started this one, until it closes the pipe."""
    _warm_up()
    build(settings).run(transport="stdio", show_banner=False)


def serve_http(settings: Settings, *, host: str, port: int) -> None:
    """Serve HTTP clients that present the token, until interrupted.

    Args:
        settings: Where everything is.
        host: Address to listen on.
        port: Port; 0: any free one.

    Raises:
        UnavailableError: the address cannot be listened on.
    """
    listening = listen(host, port)
    if settings.mcp_token is None:
        output.notice(f"clients send the token in {_token_file(settings)}")
    _warm_up()
    asyncio.run(serve(settings, listening, token=settings.mcp_token or stored_token(settings)))


async def serve(
    settings: Settings,
    listening: socket.socket,
    *,
    token: str,
    calls_per_s: float = CALLS_PER_S_MAX,
) -> None:
    """Serve HTTP on a socket, until cancelled.

    Args:
        settings: Where everything is.
        listening: A socket that listens.
        token: What clients must present.
        calls_per_s: How much they may ask together.
    """
    with listening:
        host, port = listening.getsockname()[:2]
        output.notice(f"MCP server at http://{f'[{host}]' if ':' in host else host}:{port}/mcp")
        await build(settings, token=token, calls_per_s=calls_per_s).run_http_async(
            host=host,
            port=port,
            middleware=[Middleware(RequestBodyLimitMiddleware, max_body_size=REQUEST_BYTES_MAX)],
            sockets=[listening],
            show_banner=False,
            uvicorn_config={"log_level": "warning"},
        )


def stored_token(settings: Settings) -> str:
    """Return the token of this machine's server, made at first and readable by its owner alone."""
    file = _token_file(settings)
    if not file.exists():
        file.parent.mkdir(parents=True, exist_ok=True)
        file.touch(mode=0o600)
        file.write_text(secrets.token_urlsafe(_TOKEN_BYTES), encoding="utf-8")
    return file.read_text(encoding="utf-8").strip()


class _OneToken(TokenVerifier):
    """Lets in whoever knows the server's token."""

    def __init__(self, token: str) -> None:
        super().__init__()
        self._token = token.encode()

    @override
    async def verify_token(self, token: str) -> AccessToken | None:
        if not hmac.compare_digest(token.encode(), self._token):
            return None
        return AccessToken(token=token, client_id="lowtide", scopes=[])


def _token_file(settings: Settings) -> Path:
    return settings.home / "mcp-token"


def listen(host: str, port: int) -> socket.socket:
    """Return a socket that listens on an address.

    Raises:
        UnavailableError: it is taken, or not this machine's.
    """
    try:
        return socket.create_server(
            (host, port), family=socket.AF_INET6 if ":" in host else socket.AF_INET
        )
    except OSError as error:
        msg = f"cannot listen on {host} port {port}: {error.strerror}"
        raise UnavailableError(msg, where="mcp", remedy="name another --port") from None


def _warm_up() -> None:
    """Import what the first call needs while the client still introduces itself."""

    def load() -> None:
        # What imports Prefect, and what draws on it.
        for module in ("apps.forecasts", "apps.training", "apps.quotas", "apps.reports"):
            import_module(module)
        open_ledger(Settings())

    threading.Thread(target=load, name="warm-up", daemon=True).start()
