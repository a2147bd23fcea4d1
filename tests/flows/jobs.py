"""Jobs that flows are tested with."""

from pathlib import Path
from typing import Any

from lowtide.job import TrainingJob


def digits(**changes: Any) -> TrainingJob:
    """Return a digits job that takes a second or two."""
    document = {
        "name": "digits",
        "command": ["python", "-m", "examples.digits.train"],
        "epochs": 3,
        "budget": {"name": "research/vision", "max_usd": 0.5},
        "expected_epoch_s": 5,
        "params": {"copies": 1, "hidden": 64},
        **changes,
    }
    return TrainingJob.model_validate(document)


def odd(fault: str, **changes: Any) -> TrainingJob:
    """Return a job whose program has one fault (`odd_program.py`)."""
    program = Path(__file__).parent / "odd_program.py"
    return digits(name="odd", command=["python", str(program), fault], **changes)
