"""What the linters can't say about our own code."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PACKAGES = ("apps", "flows", "tasks", "blocks", "lowtide", "examples")
SOURCES = sorted(
    path
    for package in PACKAGES
    for path in (ROOT / package).rglob("*.py")
    if path.parent.name != "versions"  # a migration is a list of tables, as long as it must be
)
FUNCTION_LINES_MAX = 60
MODULE_LINES_MAX = 400


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
def test_a_module_and_its_functions_fit_on_a_screen(path: Path) -> None:
    source = path.read_text(encoding="utf-8")
    functions = [
        node
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    ]
    long = {f.name: lines for f in functions if (lines := body_lines(f)) > FUNCTION_LINES_MAX}

    assert source.count("\n") <= MODULE_LINES_MAX
    assert long == {}


def body_lines(function: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    """Lines after the docstring: a long explanation is no fault."""
    explained = ast.get_docstring(function) is not None and len(function.body) > 1
    first = function.body[1] if explained else function.body[0]
    return (function.end_lineno or 0) - first.lineno + 1


@pytest.mark.slow
@pytest.mark.parametrize(
    "words",
    [
        ["--help"],
        ["schema", "job"],
        ["check", "--budget", "1"],
        ["compare", "[{}]"],
        ["budget", "show"],
        ["jobs"],
    ],
    ids=" ".join,
)
def test_a_command_that_needs_neither_prefect_nor_mlflow_imports_neither(
    words: list[str], tmp_path: Path
) -> None:
    program = (
        "import sys; from apps.cli.main import run; run(sys.argv[1:]); "
        "print(sorted({name.partition('.')[0] for name in sys.modules} & {'prefect', 'mlflow'}))"
    )

    done = subprocess.run(
        [sys.executable, "-c", program, *words],
        check=True,
        capture_output=True,
        text=True,
        cwd=ROOT,
        env={"PATH": "/usr/bin:/bin", "LOWTIDE_HOME": str(tmp_path)},
    )

    assert done.stdout.splitlines()[-1] == "[]"
