"""An API server of one kind of object that keeps the real one's promises, and breaks them on demand.

It has resource versions, pages, watches with bookmarks, and a history that can be forgotten (410). It
can answer with any status, cut its watches, fall silent, and be gone. What it cannot do (admission,
controllers) is tested on the real one, in tests/cluster.
"""

import json
import threading
from collections import deque
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

import urllib3
from typing_extensions import override

from blocks.cluster.api import Api, Patience
from tests.blocks.cluster.clocks import NotedClock

PATH = "/api/v1/namespaces/n/pods"
_TICK_S = 0.02


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """One answer that is given instead of the right one."""

    code: int
    headers: Mapping[str, str] = field(default_factory=dict[str, str])
    body: bytes = b'{"message": "as the test wants it"}'


@dataclass(slots=True, kw_only=True)
class State:
    """What the server holds, and how it is to misbehave."""

    objects: dict[str, dict[str, Any]] = field(default_factory=dict[str, dict[str, Any]])
    history: list[tuple[int, str, dict[str, Any]]] = field(
        default_factory=list[tuple[int, str, dict[str, Any]]]
    )
    version: int = 100
    forgotten: int = 0
    answers: deque[Answer] = field(default_factory=deque[Answer])
    requests: list[str] = field(default_factory=list[str])
    is_down: bool = False
    is_silent: bool = False
    cuts: int = 0
    lock: threading.RLock = field(default_factory=threading.RLock)


class Server(ThreadingHTTPServer):
    """The server, on a loopback port of its own."""

    daemon_threads = True

    def __init__(self) -> None:
        self.state = State()
        super().__init__(("127.0.0.1", 0), Handler)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"

    def api(self, *, clock: NotedClock | None = None, patience: Patience | None = None) -> Api:
        """Return a client of this server."""
        return Api(
            host=self.url,
            pool=urllib3.PoolManager(),
            credentials=dict,
            clock=clock or NotedClock(),
            patience=patience or Patience(timeout_s=2.0),
        )

    def set(self, name: str, *, run: str = "r-1", **more: Any) -> dict[str, Any]:
        """Make or change an object."""
        with self.state.lock:
            kind = "MODIFIED" if name in self.state.objects else "ADDED"
            self.state.version += 1
            document = {
                "metadata": {
                    "name": name,
                    "uid": f"uid-{name}",
                    "resourceVersion": str(self.state.version),
                    "labels": {"run": run},
                },
                **more,
            }
            self.state.objects[name] = document
            self.state.history.append((self.state.version, kind, document))
            return document

    def remove(self, name: str) -> None:
        """Delete an object."""
        with self.state.lock:
            self.state.version += 1
            document = self.state.objects.pop(name)
            metadata = {**document["metadata"], "resourceVersion": str(self.state.version)}
            last = {**document, "metadata": metadata}
            self.state.history.append((self.state.version, "DELETED", last))

    def forget(self) -> None:
        """Forget the history so far: who asks for it is told to list again."""
        with self.state.lock:
            self.state.forgotten = self.state.version
            self.state.history.clear()

    def cut(self) -> None:
        """Cut every watch that is open."""
        self.state.cuts += 1

    @override
    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that hangs up is no error here."""


class Handler(BaseHTTPRequestHandler):
    """Answers lists, watches and everything else."""

    protocol_version = "HTTP/1.1"
    server: Server  # pyright: ignore[reportIncompatibleVariableOverride]  # ty: ignore[incompatible-mutable-override] - the standard library types it so

    @override
    def log_message(self, format: str, *args: Any) -> None:
        """Keep quiet."""

    def handle_any(self) -> None:
        state = self.server.state
        query = {key: values[0] for key, values in parse_qs(urlsplit(self.path).query).items()}
        kind = "watch" if "watch" in query else self.command.lower()
        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        state.requests.append(kind)
        if state.is_down:
            self.close_connection = True
            return
        if state.answers:
            self._answer(state.answers.popleft())
        elif kind == "watch":
            self._watch(int(query["resourceVersion"]), float(query["timeoutSeconds"]))
        else:
            self._list(int(query.get("limit", 500)), int(query.get("continue", 0)))

    do_GET = do_POST = do_PATCH = do_DELETE = handle_any  # noqa: N815 - http.server's names

    def _answer(self, answer: Answer) -> None:
        self.send_response_only(answer.code)
        for name, value in answer.headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(answer.body)))
        self.end_headers()
        self.wfile.write(answer.body)

    def _list(self, limit: int, begin: int) -> None:
        with self.server.state.lock:
            names = sorted(self.server.state.objects)
            items = [self.server.state.objects[name] for name in names[begin : begin + limit]]
            metadata = {"resourceVersion": str(self.server.state.version)}
            if begin + limit < len(names):
                metadata["continue"] = str(begin + limit)
        body = json.dumps({"items": items, "metadata": metadata}).encode()
        self._answer(Answer(code=200, body=body))

    def _watch(self, version: int, timeout_s: float) -> None:
        state = self.server.state
        self.send_response(200)
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        self.wfile.flush()
        cuts = state.cuts
        for _ in range(round(timeout_s / _TICK_S)):
            if state.cuts != cuts or state.is_down:
                self.close_connection = True
                return
            if version < state.forgotten:
                self._chunk({"type": "ERROR", "object": {"code": 410, "message": "too old"}})
                break
            for event_version, kind, document in self._since(version):
                self._chunk({"type": kind, "object": document})
                version = event_version
            threading.Event().wait(_TICK_S)
        self.wfile.write(b"0\r\n\r\n")

    def _since(self, version: int) -> list[tuple[int, str, dict[str, Any]]]:
        if self.server.state.is_silent:
            return []
        with self.server.state.lock:
            return [event for event in self.server.state.history if event[0] > version]

    def _chunk(self, event: Mapping[str, Any]) -> None:
        line = json.dumps(event).encode() + b"\n"
        # In two pieces, as a network may deliver it.
        for piece in (line[:7], line[7:]):
            self.wfile.write(f"{len(piece):x}\r\n".encode() + piece + b"\r\n")
            self.wfile.flush()


@contextmanager
def serving() -> Generator[Server]:
    """Run a server for the length of a `with` block."""
    server = Server()
    thread = threading.Thread(target=server.serve_forever, args=(_TICK_S,), daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.state.is_down = True
        server.shutdown()
        server.server_close()
        thread.join()
