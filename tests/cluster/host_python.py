"""How a pod of the test cluster runs this machine's own Python: no image has to be built or pulled.

The pod sees the interpreter, the environment and the project as folders of the node, and shares the
node's network, so it reaches a tracking server on 127.0.0.1. Only the test cluster's own template does
this; the default one needs neither and runs in a restricted namespace.
"""

import sys
from pathlib import Path
from typing import Any

from lowtide.manifest import CONTAINER

ROOT = Path(__file__).parents[2]
_SYSTEM = ("/usr", "/lib", "/lib64")


def host_python() -> dict[str, Any]:
    """Return the pod template."""
    folders = dict.fromkeys([*_SYSTEM, sys.base_prefix, sys.prefix, str(ROOT)])
    found = [folder for folder in folders if Path(folder).exists()]
    names = {folder: f"host-{number}" for number, folder in enumerate(found)}
    container = {
        "name": CONTAINER,
        "workingDir": str(ROOT),
        "env": [
            {"name": "PATH", "value": f"{Path(sys.prefix) / 'bin'}:/bin:/usr/bin"},
            {"name": "PYTHONDONTWRITEBYTECODE", "value": "1"},
        ],
        "volumeMounts": [
            {"name": name, "mountPath": folder, "readOnly": True} for folder, name in names.items()
        ],
    }
    volumes = [
        {"name": name, "hostPath": {"path": folder, "type": "Directory"}}
        for folder, name in names.items()
    ]
    return {"spec": {"hostNetwork": True, "containers": [container], "volumes": volumes}}
