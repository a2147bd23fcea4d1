"""Runs one train flow in a process of its own: `python -m apps.train_process ASK.json`.

The command line starts it in a new session and only watches the books. So Ctrl-C, a closed
terminal or a killed command line never reaches the flow, and the flow's end is no secret: it is in
the ledger, where everybody looks.
"""

import sys
from pathlib import Path

from flows.train import train
from lowtide.ask import TrainAsk


def main() -> int:
    """Run the flow that the ask file describes, and return 0 unless it crashed."""
    ask = TrainAsk.model_validate_json(Path(sys.argv[1]).read_text(encoding="utf-8"))
    state = train(ask, return_state=True)  # ty: ignore[no-matching-overload] - ty loses Prefect's parameters here
    return 1 if state.is_crashed() else 0


if __name__ == "__main__":
    sys.exit(main())
