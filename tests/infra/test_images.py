"""The images, as far as they can be checked without an engine that builds them."""

import ast
import json
import re
import tomllib
from dataclasses import dataclass
from pathlib import Path

import pytest

from lowtide.manifest import USER

ROOT = Path(__file__).parents[2]
IMAGES = sorted((ROOT / "infra" / "images").glob("*.Containerfile"))
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
LOCKED = set(
    re.findall(r"^([a-z0-9-]+)==", (ROOT / "requirements.lock").read_text(), re.MULTILINE)
)


@dataclass(frozen=True, kw_only=True)
class Instruction:
    """One instruction of a Containerfile."""

    name: str
    text: str

    @property
    def words(self) -> list[str]:
        return [word for word in self.text.split() if not word.startswith("--")]


def instructions(path: Path) -> list[Instruction]:
    lines = re.sub(r"\\\n\s*", " ", path.read_text()).splitlines()
    found = [line.split(maxsplit=1) for line in lines if line.strip() and not line.startswith("#")]
    return [Instruction(name=name, text=text) for name, text in found]


def of(path: Path, name: str) -> list[Instruction]:
    return [instruction for instruction in instructions(path) if instruction.name == name]


@pytest.fixture(params=IMAGES, ids=lambda path: path.stem)
def image(request: pytest.FixtureRequest) -> Path:
    path: Path = request.param
    return path


def test_everything_that_is_copied_is_there(image: Path) -> None:
    copied = [
        source
        for copy in of(image, "COPY")
        if not copy.text.startswith("--from")
        for source in copy.words[:-1]
    ]

    assert copied
    assert [source for source in copied if not (ROOT / source).exists()] == []


def test_it_runs_as_the_user_that_legs_run_as_and_says_so_in_figures(image: Path) -> None:
    (user,) = of(image, "USER")

    assert user.text == f"{USER}:{USER}"


def test_its_base_is_pinned_to_the_project_s_python(image: Path) -> None:
    floor = PROJECT["project"]["requires-python"].removeprefix(">=")

    bases = {base.words[0] for base in of(image, "FROM")}

    assert bases == {f"docker.io/library/python:{floor}-slim-bookworm"}


def test_what_it_installs_is_installed_at_locked_versions(image: Path) -> None:
    (install,) = [run.text for run in of(image, "RUN") if "uv pip install" in run.text]

    assert "--constraint requirements.lock" in install
    named = set(install.rpartition("requirements.lock")[2].split()) - {"."}
    assert named <= LOCKED


def test_the_flow_image_starts_the_project_s_command() -> None:
    (entry,) = of(ROOT / "infra" / "images" / "flow.Containerfile", "ENTRYPOINT")

    assert set(json.loads(entry.text)) <= set(PROJECT["project"]["scripts"])


def test_the_flow_image_holds_every_package_of_the_project() -> None:
    copied = {copy.words[0] for copy in of(ROOT / "infra/images/flow.Containerfile", "COPY")}

    assert copied >= set(PROJECT["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"])


def test_the_trainer_imports_nothing_that_its_image_lacks() -> None:
    path = ROOT / "infra" / "images" / "digits.Containerfile"
    (install,) = [run.text for run in of(path, "RUN") if "uv pip install" in run.text]
    has = {"numpy", "threadpoolctl", "sklearn", "examples"}
    assert all(name in install for name in ("numpy", "threadpoolctl", "scikit-learn"))

    needed: set[str] = set()
    for source in (ROOT / "examples" / "digits").glob("*.py"):
        for node in ast.walk(ast.parse(source.read_text())):
            if isinstance(node, ast.Import):
                needed |= {alias.name.partition(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.module:
                needed.add(node.module.partition(".")[0])

    assert {name for name in needed if name not in has} <= _standard_library()


def _standard_library() -> set[str]:
    import sys  # noqa: PLC0415 - only its list of modules is wanted

    return set(sys.stdlib_module_names)
