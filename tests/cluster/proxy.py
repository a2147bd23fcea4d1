"""A proxy before the real API server that hurts: errors, cut watches, a minute of silence."""

import json
import threading
from collections import deque
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import urllib3
from typing_extensions import override

from blocks.cluster.api import Api

_HOP = {"connection", "transfer-encoding", "content-length", "host", "keep-alive"}


@dataclass(slots=True, kw_only=True)
class Faults:
    """How the proxy misbehaves.

    Attributes:
        codes: Codes that the next requests are answered with, watches apart.
        after: Codes that the next writes are answered with after they were done: a lost answer.
        cut_after_s: How long a watch lives; None: as long as it likes.
        gone: Kinds whose next watch is told that its version is gone.
        is_down: Whether nothing is answered at all.
        seen: Every request that came, as VERB path.
    """

    codes: deque[int] = field(default_factory=deque[int])
    after: deque[int] = field(default_factory=deque[int])
    cut_after_s: float | None = None
    gone: set[str] = field(default_factory=set[str])
    is_down: bool = False
    seen: list[str] = field(default_factory=list[str])


class Proxy(ThreadingHTTPServer):
    """Passes requests on to the API server, when it likes."""

    daemon_threads = True

    def __init__(self, upstream: Api) -> None:
        self.upstream = upstream
        self.faults = Faults()
        super().__init__(("127.0.0.1", 0), Handler)

    def kubeconfig(self, path: Path) -> Path:
        """Write a kubeconfig that leads here."""
        server = f"http://127.0.0.1:{self.server_port}"
        path.write_text(
            json.dumps(
                {
                    "apiVersion": "v1",
                    "kind": "Config",
                    "current-context": "p",
                    "contexts": [{"name": "p", "context": {"cluster": "p", "user": "p"}}],
                    "clusters": [{"name": "p", "cluster": {"server": server}}],
                    "users": [{"name": "p", "user": {}}],
                }
            )
        )
        return path

    @override
    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that hangs up is no error here."""


class Handler(BaseHTTPRequestHandler):
    """One connection."""

    protocol_version = "HTTP/1.1"
    server: Proxy  # pyright: ignore[reportIncompatibleVariableOverride]  # ty: ignore[incompatible-mutable-override] - the standard library types it so

    @override
    def log_message(self, format: str, *args: Any) -> None:
        """Keep quiet."""

    def pass_on(self) -> None:
        faults = self.server.faults
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        is_watch = "watch=true" in self.path
        faults.seen.append(
            f"{'WATCH' if is_watch else self.command} {self.path.partition('?')[0]}"
        )
        if faults.is_down:
            self.close_connection = True
        elif is_watch and (kind := self.path.partition("?")[0].rpartition("/")[2]) in faults.gone:
            faults.gone.discard(kind)
            self._tell(410)
        elif not is_watch and faults.codes:
            self._tell(faults.codes.popleft())
        else:
            self._forward(body, is_watch=is_watch)

    do_GET = do_POST = do_PATCH = do_DELETE = pass_on  # noqa: N815 - http.server's names

    def _forward(self, body: bytes, *, is_watch: bool) -> None:
        answer = self.server.upstream.pool.request(
            self.command,
            self.server.upstream.host + self.path,
            body=body or None,
            headers={k: v for k, v in self.headers.items() if k.lower() not in _HOP},
            preload_content=False,
            retries=False,
            timeout=urllib3.Timeout(connect=5, read=120),
        )
        if self.command != "GET" and self.server.faults.after:
            answer.read()
            self._tell(self.server.faults.after.popleft())
        elif is_watch:
            self._stream(answer)
        else:
            self._tell(answer.status, answer.read(), answer.headers.get("Content-Type", ""))

    def _tell(self, code: int, body: bytes = b'{"message": "a fault"}', kind: str = "") -> None:
        self.send_response(code)
        self.send_header("Content-Type", kind or "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def _stream(self, answer: urllib3.BaseHTTPResponse) -> None:
        self.send_response(answer.status)
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        self.wfile.flush()
        hang_up = threading.Event()
        if self.server.faults.cut_after_s is not None:
            timer = threading.Timer(self.server.faults.cut_after_s, self._hang_up, (hang_up,))
            timer.daemon = True
            timer.start()
        for chunk in answer.stream():
            if hang_up.is_set() or self.server.faults.is_down:
                break
            self.wfile.write(f"{len(chunk):x}\r\n".encode() + chunk + b"\r\n")
            self.wfile.flush()
        answer.close()
        self.close_connection = True

    def _hang_up(self, hung_up: threading.Event) -> None:
        hung_up.set()
        self.connection.close()


@contextmanager
def proxied(upstream: Api) -> Generator[Proxy]:
    """Run a proxy for the length of a `with` block."""
    proxy = Proxy(upstream)
    thread = threading.Thread(target=proxy.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    try:
        yield proxy
    finally:
        proxy.faults.is_down = True
        proxy.shutdown()
        proxy.server_close()
        thread.join()
