"""Tells Prefect's server of lowtide: `python -m apps.registration [NOTIFICATION-BLOCK]`.

A process of its own, started by `lowtide up`: Prefect reads the server's address when it is
imported. Everything in it may be repeated; what is right already is left alone.
"""

import subprocess
import sys
from pathlib import Path

from prefect.client.orchestration import get_client

import blocks
from blocks.prefect_setup import ensure_automations, ensure_pool
from lowtide.errors import LowtideError

PROJECT = Path(__file__).parent.parent


def main() -> int:
    """Register pool, queues, block types, deployments and automations; return the exit code."""
    notify = sys.argv[1] if len(sys.argv) > 1 else None
    with get_client(sync_client=True) as client:
        ensure_pool(client)
        for name in dir(blocks):
            getattr(blocks, name).register_type_and_schema()
        deploy = [sys.executable, "-m", "prefect", "--no-prompt", "deploy", "--all"]
        code = subprocess.run(deploy, cwd=PROJECT, check=False).returncode  # noqa: S603 - ours
        if code != 0:
            return code
        try:
            ensure_automations(client, notify=notify)
        except LowtideError as error:
            print(error, file=sys.stderr)
            return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
