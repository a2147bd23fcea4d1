"""`lowtide train --wait` as a person sees it, in a pseudo-terminal."""

import re
import signal
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pexpect
import pytest

from apps.cli.main import run
from blocks.ledger import Books
from blocks.settings import Settings
from lowtide.ledger.records import RunState
from lowtide.legs import LegEnd

pytestmark = pytest.mark.stack

LONG = ["--set", "epochs=200", "--set", "params.copies=8", "--set", "expected_epoch_s=1"]


@pytest.fixture
def books(stack: Settings) -> Iterator[Books]:
    opened = Books(url=stack.ledger_address)
    yield opened
    opened.close()


def heed_ctrl_c() -> None:
    """Undo what a shell does that starts the tests in the background: its children ignore Ctrl-C."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def train(*words: str) -> "pexpect.spawn[str]":
    return pexpect.spawn(
        sys.executable,
        ["-m", "apps.cli.main", "train", "--new", "--wait", *words],
        encoding="utf-8",
        timeout=120,
        dimensions=(40, 160),
        preexec_fn=heed_ctrl_c,
    )


def run_of(terminal: "pexpect.spawn[str]") -> str:
    terminal.expect(re.compile(r"run (r-[0-9a-f]{12}) of digits"))
    match = terminal.match
    assert isinstance(match, re.Match)
    return str(match.group(1))


def until_ended(books: Books, name: str) -> RunState:
    give_up = time.monotonic() + 120
    while time.monotonic() < give_up:
        row = books.run(name)
        if row is not None and not row.state.unfinished:
            return row.state
        time.sleep(0.2)
    pytest.fail(f"{name} did not end")


def test_progress_is_shown_and_the_end_says_where_to_look(books: Books) -> None:
    terminal = train("--set", "epochs=3", "--set", "params.copies=2")
    name = run_of(terminal)

    terminal.expect(r"epoch \d/3")
    terminal.expect("completed: 3 of 3 epochs")
    terminal.expect(f"report +.*{name}.html")
    terminal.expect(pexpect.EOF)
    terminal.close()

    assert terminal.exitstatus == 0
    assert books.run(name) is not None


def test_ctrl_c_asks_once_and_stops_the_training_at_a_checkpoint_when_told_to(
    books: Books, stack: Settings
) -> None:
    terminal = train(*LONG)
    name = run_of(terminal)
    terminal.expect(r"epoch [1-9]\d*/200")

    terminal.sendintr()
    terminal.expect("Stop the training too")
    terminal.sendline("y")
    terminal.expect(f"{name} stopped")
    terminal.expect(pexpect.EOF)
    terminal.close()

    assert terminal.exitstatus == 1
    [leg] = books.legs(name)
    assert leg.end is LegEnd.STOPPED
    assert leg.charged_usd > 0
    assert books.hold_of(name) is None
    assert list((stack.checkpoints_folder / name).iterdir())


def test_a_second_ctrl_c_leaves_it_running_and_says_how_to_find_it(
    books: Books, capfd: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    terminal = train(*LONG)
    name = run_of(terminal)
    terminal.expect(r"epoch [1-9]\d*/200")

    terminal.sendintr()
    terminal.expect("Stop the training too")
    terminal.sendintr()
    terminal.expect(f"lowtide jobs show {name}")
    terminal.expect(f"lowtide jobs stop {name}")
    terminal.expect(pexpect.EOF)
    terminal.close()

    assert terminal.exitstatus == 0
    [leg] = books.legs(name)
    assert leg.end is None
    row = books.run(name)
    assert row is not None
    assert row.state is RunState.RUNNING

    code = run(["jobs", "stop", name])

    assert tmp_path.exists()
    assert code == 0
    assert f"lowtide jobs show {name}" in capfd.readouterr().out
    assert until_ended(books, name) is RunState.STOPPED
