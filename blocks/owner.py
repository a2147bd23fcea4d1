"""Who owns a run, in words from which anybody on the same machine can see that the owner is dead.

A lease alone says so only when it has run out, up to a minute later. A flow that was killed on this
machine is known to be dead at once: process id, start tick and boot id together are never used
again. An owner on another machine, or of another boot, is left to its lease.
"""

import os
import re

from blocks.local.processes import boot_id, start_ticks

_OWNER = re.compile(r"^(?P<flow_run>.+)@(?P<boot>[^:]+):(?P<pid>\d+):(?P<ticks>\d+)$")


def owner_here(flow_run: str) -> str:
    """Return the owner's name of a flow run in this process.

    Args:
        flow_run: Id of the flow run, or another name that is unique within the process.

    Examples:
        >>> is_dead(owner_here("f1"))
        False
        >>> is_dead("somebody else")
        False
    """
    pid = os.getpid()
    return f"{flow_run}@{boot_id()}:{pid}:{start_ticks(pid)}"


def is_dead(owner: str) -> bool:
    """Say whether an owner is known to be dead; False where that cannot be known from here."""
    found = _OWNER.match(owner)
    if found is None or found["boot"] != boot_id():
        return False
    return start_ticks(int(found["pid"])) != int(found["ticks"])
