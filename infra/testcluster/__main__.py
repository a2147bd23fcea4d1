"""The command line: `python -m infra.testcluster up | down | status | build`."""

import argparse
import sys
import time

from infra.testcluster import launcher
from infra.testcluster.build import (
    KWOK,
    TERRAFORM,
    TERRAFORM_PROVIDER,
    TOOL_SETS,
    CannotBuildError,
    build,
)
from infra.testcluster.keeper import CannotStartError


def main() -> int:
    """Do what the first argument says."""
    parser = argparse.ArgumentParser(prog="python -m infra.testcluster", description=__doc__)
    parser.add_argument("action", choices=("up", "down", "status", "build"))
    parser.add_argument("--name", default=launcher.DEFAULT_NAME, help="several may run at once")
    parser.add_argument("--gpus", type=int, default=launcher.GPUS, help="GPUs of the node")
    parser.add_argument("--kwok", action="store_true", help="bring pretended nodes to life")
    parser.add_argument("--terraform", action="store_true", help="build Terraform too")
    options = parser.parse_args()
    try:
        return _ACTIONS[options.action](options)
    except (CannotBuildError, CannotStartError) as error:
        print(f"cannot: {error}", file=sys.stderr)
        return 1


def _build(options: argparse.Namespace) -> int:
    wanted = [*TOOL_SETS]
    wanted += [TERRAFORM, TERRAFORM_PROVIDER] if options.terraform else []
    wanted += [KWOK] if options.kwok else []
    for tools in wanted:
        started = time.monotonic()
        folder = build(
            tools, say=lambda text, name=tools.name: print(f"{name}: {text}", flush=True)
        )
        print(f"{tools.name}: {folder} ({time.monotonic() - started:.0f} s)", flush=True)
    return 0


def _up(options: argparse.Namespace) -> int:
    _build(options)
    started = time.monotonic()
    running = launcher.up(options.name, gpus=options.gpus, kwok=options.kwok)
    print(f"up after {time.monotonic() - started:.1f} s")
    return _show(running)


def _down(options: argparse.Namespace) -> int:
    left = launcher.down(options.name)
    for trace in left:
        print(f"left behind: {trace}", file=sys.stderr)
    return 1 if left else 0


def _status(options: argparse.Namespace) -> int:
    running = launcher.status(options.name)
    if running is None:
        print("not up")
        return 1
    return _show(running)


def _show(running: launcher.Cluster) -> int:
    for sentence in running.cannot:
        print(f"cannot do here: {sentence}")
    print(f"export KUBECONFIG={running.kubeconfig}")
    return 0


_ACTIONS = {"up": _up, "down": _down, "status": _status, "build": _build}

if __name__ == "__main__":
    sys.exit(main())
