"""Real clients of the official `mcp` package, on a real `lowtide mcp`."""

import contextlib
import os
import re
import subprocess
import sys
from collections.abc import AsyncGenerator, Generator
from pathlib import Path
from typing import Any

import httpx2
from mcp import Client, StdioServerParameters
from mcp.client.streamable_http import streamable_http_client

COMMAND = [sys.executable, "-c", "from apps.cli import main; main()", "mcp"]
TOKEN = "a-token-for-tests-only"  # noqa: S105 - it opens nothing


def over_stdio(**options: Any) -> Client:
    """Return a client of a server that it starts itself."""
    server = StdioServerParameters(command=COMMAND[0], args=COMMAND[1:], env=dict(os.environ))
    return Client(server, **options)


@contextlib.asynccontextmanager
async def over_http(url: str, *, token: str = TOKEN, **options: Any) -> AsyncGenerator[Client]:
    """Yield a client of a server that listens at an address."""
    headers = {"Authorization": f"Bearer {token}"}
    async with (
        httpx2.AsyncClient(headers=headers, timeout=120) as http,
        Client(streamable_http_client(url, http_client=http), **options) as client,
    ):
        yield client


@contextlib.contextmanager
def http_server(log: Path) -> Generator[str]:
    """Start `lowtide mcp --http` on any free port, and yield its address."""
    environment = {**os.environ, "LOWTIDE_MCP_TOKEN": TOKEN}
    process = subprocess.Popen(
        [*COMMAND, "--http", "--port", "0"],
        stderr=subprocess.PIPE,
        text=True,
        env=environment,
    )
    try:
        assert process.stderr is not None
        told: list[str] = []
        for line in process.stderr:
            told.append(line)
            found = re.search(r"http://\S+/mcp", line)
            if found:
                break
        else:
            raise AssertionError("".join(told))
        yield found.group(0)
    finally:
        log.write_text("ended", encoding="utf-8")
        process.terminate()
        process.communicate(timeout=60)
