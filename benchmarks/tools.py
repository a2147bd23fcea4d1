"""How long agents wait: ten read-only tool calls at once, from two MCP clients, on 10,000 runs.

    python -m benchmarks.tools [--runs 10000] [--rounds 10]

A real `lowtide mcp --http` in a process of its own, a SQLite ledger filled as in
`benchmarks.answers`, and two clients of the official `mcp` package in processes of their own (a
client checks each answer against its schema, which for a report takes it a tenth of a second), five
calls each, all started together. MLflow's answers come from memory over HTTP. One round warms up
and does not count. Then the same with an MLflow that takes 2 s for one run: the calls that do not
need it must not notice.
"""

import argparse
import asyncio
import contextlib
import json
import multiprocessing
import os
import re
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import AsyncGenerator, Generator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from datetime import timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from multiprocessing.synchronize import Barrier
from pathlib import Path
from typing import Any, TypeAlias
from urllib.parse import parse_qs, urlsplit

import httpx2
from mcp import Client
from mcp.client.streamable_http import streamable_http_client
from typing_extensions import override

from apps.books import prepare_ledger
from benchmarks.answers import EPOCH_S, JOBS, START, Remembered, fill
from blocks.prices import Prices
from blocks.settings import Settings
from lowtide.identity import run_id

MEDIAN_S_MAX = 0.3
EACH_S_MAX = 1.5
SLOW_S = 2.0
Call: TypeAlias = tuple[str, dict[str, Any]]
CLIENTS = 2
TOKEN = "for-this-benchmark-only"  # noqa: S105 - it opens nothing else


class Mlflow(BaseHTTPRequestHandler):
    """Answers for metrics' histories, from memory; slowly for one run."""

    slow_run = ""
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        """Answer for one run's history; for anything else there is nothing here."""
        asked = parse_qs(urlsplit(self.path).query)
        runs, metric = asked.get("run_id", []), asked.get("metric_key", [""])[0]
        if self.slow_run in runs:
            time.sleep(SLOW_S)
        is_known = self.path.startswith("/ajax-api/2.0/mlflow/metrics")
        rows = [row for run in runs for row in points(run)] if metric == "val_accuracy" else []
        body = json.dumps({"metrics": rows} if is_known else {"error_code": "NOT_FOUND"}).encode()
        self.send_response(200 if is_known else 404)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    @override
    def log_message(self, format: str, *args: object) -> None:
        """Say nothing."""


STARTS: dict[str, int] = {}


def points(run: str) -> list[dict[str, Any]]:
    """Return a run's logged curve as MLflow sends it."""
    return [
        {
            "run_id": run,
            "key": "val_accuracy",
            "value": round(0.98 - 0.5 / epoch, 4),
            "step": epoch,
            "timestamp": STARTS[run] + round(epoch * EPOCH_S * 1000),
        }
        for epoch in range(1, 61)
    ]


def calls(runs: int) -> list[Call]:
    """Return the ten calls; the third and the eighth need MLflow."""
    seven, eight = (run_id(f"answers-{runs - JOBS + n}") for n in (7, 8))
    configs = '[{"epochs": 2, "batch_size": 64}, {"epochs": 2, "batch_size": 128}]'
    return [
        ("check_training_budget", {"budget_usd": 0.05, "epochs": 2, "batch_size": 64}),
        ("compare_training_configs", {"config_json": configs}),
        ("recommend_cost_optimization", {"run_id": seven}),
        ("get_training_cost_report", {"start_date": "2026-10-25", "end_date": "2026-10-31"}),
        ("get_training_quota", {"job": "llm", "jobs": 10}),
        ("check_training_budget", {"budget_usd": 5, "job": "llm"}),
        ("forecast_training_cost", {"job_name": "llm", "remaining_epochs": 3}),
        ("forecast_training_cost", {"job_name": eight, "remaining_epochs": 10}),
        ("get_training_cost_report", {}),
        ("get_training_quota", {}),
    ]


NEEDS_MLFLOW = frozenset({2, 7})


@contextlib.contextmanager
def mlflow() -> Generator[str]:
    """Serve the histories, and yield the address."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), Mlflow)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_address[1]}"
    server.shutdown()
    server.server_close()


@contextlib.contextmanager
def mcp_server(environment: Mapping[str, str]) -> Generator[str]:
    """Start `lowtide mcp --http`, and yield its address."""
    lowtide = Path(sys.executable).parent / "lowtide"
    process = subprocess.Popen(
        [lowtide, "mcp", "--http", "--port", "0"],
        env=dict(environment),
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stderr is not None
    try:
        found = None
        while found is None:
            line = process.stderr.readline()
            if not line:
                sys.exit("lowtide mcp ended before it listened")
            found = re.search(r"http://\S+/mcp", line)
        yield found.group(0)
    finally:
        process.terminate()
        process.wait(timeout=30)
        process.stderr.close()


@contextlib.asynccontextmanager
async def connected(url: str) -> AsyncGenerator[Client]:
    """Yield a client with a session of its own."""
    headers = {"Authorization": f"Bearer {TOKEN}"}
    async with (
        httpx2.AsyncClient(headers=headers, timeout=60) as http,
        Client(streamable_http_client(url, http_client=http)) as client,
    ):
        yield client


def measure(url: str, *, runs: int, rounds: int) -> list[list[float]]:
    """Return how long each of the ten calls took, seconds, round by round."""
    spawn = multiprocessing.get_context("spawn")
    together = spawn.Barrier(CLIENTS)
    with ProcessPoolExecutor(
        CLIENTS, mp_context=spawn, initializer=set_barrier, initargs=(together,)
    ) as pool:
        shares = [calls(runs)[at::CLIENTS] for at in range(CLIENTS)]
        one, other = pool.map(call_all, [url] * CLIENTS, shares, [rounds] * CLIENTS)
    return [
        [taken for pair in zip(ones, others, strict=True) for taken in pair]
        for ones, others in zip(one, other, strict=True)
    ]


_TOGETHER: list["Barrier"] = []
"""What both clients of this round wait at; set in each client's process."""


def set_barrier(together: "Barrier") -> None:
    """Set what this client's process waits at."""
    _TOGETHER.append(together)


def call_all(url: str, share: Sequence[Call], rounds: int) -> list[list[float]]:
    """Make one client's calls, all at once, in every round; return how long each took, seconds."""

    async def timed(client: Client, name: str, arguments: dict[str, Any]) -> float:
        start = time.perf_counter()
        result = await client.call_tool(name, arguments)
        taken = time.perf_counter() - start
        if result.is_error:
            sys.exit(f"{name}: {result.content}")
        return taken

    async def every_round() -> list[list[float]]:
        async with connected(url) as client:
            taken: list[list[float]] = []
            for _ in range(rounds + 1):
                _TOGETHER[0].wait(timeout=60)
                work = [timed(client, name, arguments) for name, arguments in share]
                taken.append(list(await asyncio.gather(*work)))
            return taken[1:]

    return asyncio.run(every_round())


def main() -> int:
    """Print the figures; return 1 if a line is missed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=10_000, help="runs in the ledger")
    parser.add_argument("--rounds", type=int, default=10, help="rounds that count")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, mlflow() as tracking:
        settings = Settings(home=Path(folder))
        ledger = prepare_ledger(settings, say=lambda _: None)
        version = Prices(source=settings.prices).book().sheet_at(START).version
        fill(ledger, Remembered(uri=tracking), runs=asked.runs, price_version=version)
        ledger.close()
        for number in range(asked.runs):
            start = START + number * timedelta(minutes=5)
            STARTS[run_id(f"answers-{number}")] = round(start.timestamp() * 1000)
        environment = {
            **os.environ,
            "LOWTIDE_HOME": folder,
            "LOWTIDE_MCP_TOKEN": TOKEN,
            "MLFLOW_TRACKING_URI": tracking,
        }
        with mcp_server(environment) as url:
            quick = measure(url, runs=asked.runs, rounds=asked.rounds)
            Mlflow.slow_run = run_id(f"answers-{asked.runs - JOBS + 7}")
            beside = measure(url, runs=asked.runs, rounds=2)
    return report(quick, beside, runs=asked.runs)


def report(quick: list[list[float]], beside: list[list[float]], *, runs: int) -> int:
    """Print what was measured against its lines; return 1 if one is missed."""
    print(f"{runs} runs in the ledger; load of the machine {os.getloadavg()[0]:.1f}")
    for n, (name, _) in enumerate(calls(runs)):
        print(f"  {name:<30}{statistics.median(taken[n] for taken in quick):7.3f} s, median")
    every = [s for taken in quick for s in taken]
    others = [s for taken in beside for n, s in enumerate(taken) if n not in NEEDS_MLFLOW]
    lines = (
        ("median of all calls", statistics.median(every), MEDIAN_S_MAX),
        ("the longest call", max(every), EACH_S_MAX),
        (f"the longest beside an MLflow of {SLOW_S:.0f} s", max(others), EACH_S_MAX),
    )
    missed = False
    for name, taken_s, most_s in lines:
        is_met = taken_s < most_s
        missed |= not is_met
        print(f"{name:<38}{taken_s:7.3f} s  line {most_s} s  {'' if is_met else 'missed'}")
    return int(missed)


if __name__ == "__main__":
    sys.exit(main())
