"""A real Prometheus and Alertmanager with the shipped files, scraping an exporter, once a second.

Everything listens on loopback, on free ports, and ends with the test. A fake stands where the GPUs'
exporter would be, and a webhook where people would be told.
"""

import json
import re
import shutil
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Generator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import urlencode
from urllib.request import urlopen

from prometheus_client import start_http_server
from prometheus_client.registry import CollectorRegistry
from typing_extensions import override

INFRA = Path(__file__).parent.parent.parent / "infra"
PROGRAMS = ("prometheus", "promtool", "prometheus-alertmanager", "amtool")
MISSING = "needs the Debian packages prometheus and prometheus-alertmanager (make system-deps)"
DCGM = "".join(
    f'{name}{{gpu="0",Hostname="node-1",pod="r-0123456789ab-1"}} {value}\n'
    for name, value in (
        ("DCGM_FI_DEV_GPU_UTIL", 71),
        ("DCGM_FI_PROF_SM_ACTIVE", 0.6),
        ("DCGM_FI_DEV_FB_USED", 9000),
        ("DCGM_FI_DEV_FB_FREE", 6000),
        ("DCGM_FI_DEV_POWER_USAGE", 68.5),
    )
)


def installed() -> bool:
    """Say whether the programs are here."""
    return all(shutil.which(name) for name in PROGRAMS)


@dataclass(frozen=True, slots=True, kw_only=True)
class Monitoring:
    """What runs.

    Attributes:
        prometheus: Address of Prometheus.
        told: What the webhook was told, oldest first: its path, and the alerts.
    """

    prometheus: str
    told: list[tuple[str, Mapping[str, Any]]]

    def query(self, expr: str) -> list[Mapping[str, Any]]:
        """Return the series that a query finds now."""
        found = get(f"{self.prometheus}/api/v1/query?{urlencode({'query': expr})}")
        assert found["status"] == "success", found
        result: list[Mapping[str, Any]] = found["data"]["result"]
        return result


@contextmanager
def monitoring(folder: Path, registry: CollectorRegistry) -> Generator[Monitoring]:
    """Run Prometheus and Alertmanager with the shipped files, against one exporter."""
    told: list[tuple[str, Mapping[str, Any]]] = []
    with ExitStack() as stack:
        exporter, _ = start_http_server(0, addr="127.0.0.1", registry=registry)
        stack.callback(exporter.server_close)
        stack.callback(exporter.shutdown)
        gpus = stack.enter_context(serving(lambda _path, _body: DCGM))
        hook = stack.enter_context(serving(lambda path, body: told.append((path, body)) or ""))
        alertmanager, prometheus = free_port(), free_port()
        ports = {
            9464: exporter.server_port,
            9400: gpus,
            9095: hook,
            9093: alertmanager,
        }
        shipped(folder, ports)
        stack.enter_context(
            started(
                "prometheus-alertmanager",
                f"--config.file={folder / 'alertmanager.yml'}",
                f"--storage.path={folder / 'alertmanager'}",
                f"--web.listen-address=127.0.0.1:{alertmanager}",
                "--cluster.listen-address=",
                ready=f"http://127.0.0.1:{alertmanager}/-/ready",
                log=folder / "alertmanager.log",
            )
        )
        address = f"http://127.0.0.1:{prometheus}"
        stack.enter_context(
            started(
                "prometheus",
                f"--config.file={folder / 'prometheus.yml'}",
                f"--storage.tsdb.path={folder / 'tsdb'}",
                f"--web.listen-address=127.0.0.1:{prometheus}",
                ready=f"{address}/-/ready",
                log=folder / "prometheus.log",
            )
        )
        yield Monitoring(prometheus=address, told=told)


def shipped(folder: Path, ports: Mapping[int, int]) -> None:
    """Copy the shipped files, with other ports, and with seconds where they have minutes."""
    for name in (
        "prometheus/prometheus.yml",
        "prometheus/rules.yml",
        "alertmanager/alertmanager.yml",
    ):
        text = (INFRA / name).read_text("utf-8")
        for shipped_port, port in ports.items():
            text = text.replace(f"127.0.0.1:{shipped_port}", f"127.0.0.1:{port}")
        text = re.sub(r"(_interval|group_wait): \d+[smh]", r"\1: 1s", text)
        text = re.sub(r"repeat_interval: 1s", "repeat_interval: 1h", text)
        text = re.sub(r"for: \d+m", "for: 1s", text)
        (folder / Path(name).name).write_text(text, encoding="utf-8")


@contextmanager
def started(program: str, *words: str, ready: str, log: Path) -> Generator[None]:
    """Run a server until the block ends."""
    with log.open("wb") as out:
        process = subprocess.Popen([program, *words], stdout=out, stderr=out)
    try:
        wait_for(lambda: answers(ready), what=f"{program}: {log.read_text('utf-8')[-2000:]}")
        yield
    finally:
        process.terminate()
        process.wait(timeout=30)


@contextmanager
def serving(answer: Callable[[str, Any], str]) -> Generator[int]:
    """Serve one answer to everything on a free port."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self._send(answer(self.path, None))

        def do_POST(self) -> None:
            length = int(self.headers["Content-Length"])
            self._send(answer(self.path, json.loads(self.rfile.read(length))))

        def _send(self, text: str) -> None:
            self.send_response(200)
            self.send_header("Content-Type", "text/plain; version=0.0.4")
            self.end_headers()
            self.wfile.write(text.encode())

        @override
        def log_message(self, format: str, *args: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield server.server_port
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def wait_for(true: Callable[[], bool], *, what: str, within_s: float = 250) -> None:
    """Wait until something is so."""
    until = time.monotonic() + within_s
    while not true():
        assert time.monotonic() < until, what
        time.sleep(0.2)


def answers(url: str) -> bool:
    """Say whether an address answers well."""
    try:
        with urlopen(url, timeout=5) as answer:  # noqa: S310 - loopback
            return bool(answer.status == 200)
    except OSError:
        return False


def get(url: str) -> Any:
    """Return a JSON document."""
    with urlopen(url, timeout=10) as answer:  # noqa: S310 - loopback
        return json.loads(answer.read())


def free_port() -> int:
    """Return a port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
