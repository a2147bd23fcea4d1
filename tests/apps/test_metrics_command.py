"""`lowtide metrics` serves what Prometheus reads, until it is told to stop."""

import os
import re
import signal
import socket
import subprocess
import sys
from pathlib import Path
from urllib.request import urlopen

import pytest

from apps.cli.main import run

COMMAND = [sys.executable, "-c", "from apps.cli import main; main()", "metrics", "--port", "0"]


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home with the first budgets, and nothing that runs."""
    monkeypatch.setenv("LOWTIDE_HOME", str(tmp_path))
    for name in ("PREFECT_API_URL", "MLFLOW_TRACKING_URI"):
        monkeypatch.delenv(name, raising=False)
    return tmp_path


@pytest.mark.slow
def test_it_says_where_it_listens_serves_the_books_and_ends_when_told_without_a_word(
    home: Path,
) -> None:
    assert home.exists()
    process = subprocess.Popen(COMMAND, stderr=subprocess.PIPE, text=True, env=dict(os.environ))
    assert process.stderr is not None
    found = None
    for line in process.stderr:
        found = re.search(r"http://\S+/metrics", line)
        if found:
            break
    assert found is not None

    with urlopen(found.group(0), timeout=30) as answer:  # noqa: S310 - loopback
        text = answer.read().decode()
    process.send_signal(signal.SIGTERM)  # SIGINT may be ignored by whoever runs the tests
    said = process.stderr.read()
    code = process.wait(timeout=30)
    process.stderr.close()

    assert "lowtide_budget_limit_usd{" in text
    assert "Traceback" not in said
    assert code in {-signal.SIGTERM, 128 + signal.SIGTERM}


def test_a_port_that_is_taken_is_one_sentence_with_the_way_out(
    home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert home.exists()
    with socket.create_server(("127.0.0.1", 0)) as taken:
        code = run(["metrics", "--port", str(taken.getsockname()[1])])

    assert code == 2
    assert "another --port" in capsys.readouterr().err
