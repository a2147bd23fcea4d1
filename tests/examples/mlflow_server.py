"""The two calls of MLflow that a training program makes, by a real HTTP server that can go away.

Like MLflow's own store it keeps a point once, however often the same point is sent.
"""

import json
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Literal, TypeAlias, cast
from urllib.parse import parse_qs, urlsplit

from typing_extensions import override

Mood: TypeAlias = Literal["answers", "hangs", "fails", "refuses", "loses the answer", "babbles"]
Point: TypeAlias = tuple[str, int, int, float]


class MlflowServer:
    """Listens on a port of its own, which it keeps over `leave` and `come`."""

    def __init__(self) -> None:
        self.mood: Mood = "answers"
        self.points: list[Point] = []
        self.requests = 0
        self.resume = threading.Event()
        self._port = 0
        self._server: ThreadingHTTPServer | None = None
        self.come()

    @property
    def uri(self) -> str:
        return f"http://127.0.0.1:{self._port}"

    def come(self) -> None:
        """Listen."""
        self._server = _Server(("127.0.0.1", self._port), self)
        self._port = self._server.server_port
        threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True).start()

    def leave(self) -> None:
        """Close the port: whoever asks now is refused."""
        self.resume.set()
        if self._server is not None:
            self._server.shutdown()
            self._server.server_close()
            self._server = None

    def steps(self, key: str) -> list[int]:
        """Return the steps of a metric in the order in which they came."""
        return [step for name, step, _, _ in self.points if name == key]

    def values(self, key: str) -> list[float]:
        """Return the values of a metric in the order in which they came."""
        return [value for name, _, _, value in self.points if name == key]

    def take(self, metrics: list[dict[str, Any]]) -> None:
        for metric in metrics:
            point = (metric["key"], metric["step"], metric["timestamp"], metric["value"])
            if point not in self.points:
                self.points.append(point)

    def history(self, key: str) -> dict[str, Any]:
        return {"metrics": [{"step": step} for step in self.steps(key)]} if self.points else {}


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, address: tuple[str, int], mlflow: MlflowServer) -> None:
        self.mlflow = mlflow
        super().__init__(address, _Handler)

    @override
    def handle_error(self, request: object, client_address: object) -> None:
        """A client that went away is no news."""


class _Handler(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        query = parse_qs(urlsplit(self.path).query)
        self._answer(lambda mlflow: mlflow.history(query["metric_key"][0]))

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))

        def take(mlflow: MlflowServer) -> dict[str, Any]:
            mlflow.take(body["metrics"])
            return {}

        self._answer(take)

    def _answer(self, result_of: Callable[[MlflowServer], dict[str, Any]]) -> None:
        mlflow = cast("_Server", self.server).mlflow
        mlflow.requests += 1
        match mlflow.mood:
            case "answers":
                self._send(200, json.dumps(result_of(mlflow)))
            case "hangs":
                mlflow.resume.wait(30)
            case "fails":
                self._send(503, "busy")
            case "refuses":
                self._send(404, "no such run")
            case "babbles":
                self._send(200, "<html>")
            case "loses the answer":
                mlflow.mood = "answers"
                result_of(mlflow)

    def _send(self, code: int, text: str) -> None:
        self.send_response(code)
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text.encode())

    @override
    def log_message(self, format: str, *args: object) -> None:
        """Say nothing."""
