"""What nobody foresaw: told in one sentence, the details kept in a file."""

import traceback
from datetime import UTC, datetime
from pathlib import Path

from blocks.settings import Settings
from lowtide.errors import LowtideError


def explained(error: Exception) -> LowtideError:
    """Return an error that a person can act on, whatever came.

    Args:
        error: What was raised; what lowtide can explain stays as it is.
    """
    if isinstance(error, LowtideError):
        return error
    folder = Settings().home / "logs"
    folder.mkdir(parents=True, exist_ok=True)
    path: Path = folder / f"crash-{datetime.now(UTC):%Y%m%dT%H%M%S%f}.log"
    path.write_text("".join(traceback.format_exception(error)), encoding="utf-8")
    return LowtideError(
        f"a bug in lowtide: {type(error).__name__}: {error}",
        remedy=f"the details are in {path}; running the same command again is safe",
    )
