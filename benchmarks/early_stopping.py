"""Early stopping on a real training: what the advice promised, and what following it saved.

    python -m benchmarks.early_stopping [--epochs 60] [--copies 25] [--home FOLDER]

The digits job is trained by the whole of lowtide, on a stack and a ledger of its own: first to its
last epoch, then by the very command that the early-stopping advice on that run gives. The same seed
trains the same network, so the second training stops where the first could have. Compared are the
seconds of training, from the start of the first epoch. The times of one epoch differ from run to
run, on a busy machine more than on a quiet one, so the epochs saved are priced at the first run's
pace too.
"""

import argparse
import json
import os
import shlex
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from blocks.ledger import Books
from blocks.settings import Settings
from lowtide.events import EventKind

OFF_BY_MAX = 0.10
_LOWTIDE = str(Path(sys.executable).with_name("lowtide"))


def lowtide(*words: str, home: Path) -> dict[str, Any]:
    """Run a command and return its document."""
    environment = {**os.environ, "LOWTIDE_HOME": str(home)}
    done = subprocess.run(
        [_LOWTIDE, *words, "--json"], env=environment, stdout=subprocess.PIPE, check=False
    )
    if done.returncode != 0:
        sys.exit(f"lowtide {' '.join(words)} failed: {done.stdout.decode()}")
    document: dict[str, Any] = json.loads(done.stdout)
    return document


def epoch_s(home: Path, run: str) -> list[float]:
    """Return the seconds of a run's epochs, as it taught them to later forecasts."""
    books = Books(url=Settings(home=home, ledger_url=None).ledger_address)
    lesson = books.events(run, kind=EventKind.EPOCHS)[-1].body["epoch_s"]
    books.close()
    return list(lesson)


def compare(home: Path, *, epochs: int, copies: int) -> bool:
    """Train twice, print what was promised and what was saved; return whether the line is met."""
    whole = lowtide(
        *("train", "examples/digits/job.yaml", "--new", "--wait"),
        *("--set", f"epochs={epochs}", "--set", f"params.copies={copies}"),
        home=home,
    )
    advice = [item for item in whole["recommendations"] if item["kind"] == "early-stopping"]
    if not advice:
        print("no early-stopping advice: missed")
        return False
    [item] = advice
    facts = item["evidence"]
    print(item["description"])
    print(f"saves {item['saving_usd']['p50']} USD by {item['action']}")
    _, *words = shlex.split(item["action"])
    stopped = lowtide(*words, "--new", "--wait", home=home)
    full_s, early_s = epoch_s(home, whole["run"]), epoch_s(home, stopped["run"])
    # A leg's first epoch is timed from the program's start: the training begins after it.
    trained_s = sum(full_s[1:])
    promised = facts["seconds_after"] / trained_s
    saved = 1 - sum(early_s[1:]) / trained_s
    at_its_pace = sum(full_s[len(early_s) :]) / trained_s
    off_by = abs(saved - promised)
    print(
        f"state {stopped['state']} after epoch {len(early_s)}; promised epoch {facts['stopped_epoch']}"
    )
    print(
        f"charged {whole['charged_usd']} USD for the whole, {stopped['charged_usd']} USD with the rule"
    )
    print(f"promised {100 * promised:.1f} % of the training time, {facts['seconds_after']:.1f} s")
    print(f"saved    {100 * saved:.1f} %; at the first run's pace {100 * at_its_pace:.1f} %")
    print(f"off by   {100 * off_by:.1f} % of the training time, line {100 * OFF_BY_MAX:.0f} %")
    return off_by <= OFF_BY_MAX


def main() -> int:
    """Print all figures; return 1 if the line is missed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--epochs", type=int, default=60, help="epochs of the whole training")
    parser.add_argument("--copies", type=int, default=25, help="copies of each image")
    parser.add_argument("--home", type=Path, help="home of a stack that is up; default: its own")
    asked = parser.parse_args()
    if asked.home is not None:
        is_met = compare(asked.home, epochs=asked.epochs, copies=asked.copies)
    else:
        with tempfile.TemporaryDirectory() as folder:
            home = Path(folder)
            try:
                lowtide("up", home=home)
                is_met = compare(home, epochs=asked.epochs, copies=asked.copies)
            finally:
                lowtide("down", home=home)
    print("met" if is_met else "missed")
    return int(not is_met)


if __name__ == "__main__":
    sys.exit(main())
