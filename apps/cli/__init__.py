"""The command line: `lowtide`.

Every command answers a person with text and a program with one JSON document (`--json`); errors
are sentences, never tracebacks; the exit code is 0 done, 1 failed, 2 bad input, 3 refused.
Importing this package must stay cheap: a command imports Prefect only when it needs it.
"""

from apps.cli.main import main

__all__ = ["main"]
