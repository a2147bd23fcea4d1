"""Starts a leg as a flow's process would, waits for the word to do so, and stays to be killed.

python -m tests.blocks.local.starter HOME GO_FILE SECONDS
"""

import sys
import time
from datetime import UTC, datetime
from pathlib import Path

from blocks.local.cluster import LocalCluster
from tests.blocks.local.rigs import LocalRig
from tests.fakes.runner_contract import Work


def main(home: Path, go: Path, works_s: float) -> None:
    rig = LocalRig(home)
    say("ready")
    while not go.exists():
        time.sleep(0.001)
    LocalCluster(home=home / "legs").start(rig.spec(Work(works_s=works_s)), now=datetime.now(UTC))
    say("started")
    time.sleep(60)


def say(word: str) -> None:
    sys.stdout.write(f"{word}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]), float(sys.argv[3]))
