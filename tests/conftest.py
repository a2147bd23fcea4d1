"""What every test shares: Hypothesis' profiles, and one local stack for all that need servers."""

import os
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import Any

import pytest
from hypothesis import settings as hypothesis_settings
from typing_extensions import override
from xdist.scheduler import LoadScopeScheduling

from blocks.settings import Settings

# What takes seconds to import is imported where it is used: those who only hand tests out need none.

# Shared by several suites, and so imported before the second of them could ask for it.
pytest.register_assert_rewrite("tests.fakes.runner_contract")

hypothesis_settings.register_profile("dev", deadline=None)
hypothesis_settings.register_profile("ci", deadline=None, derandomize=True, max_examples=200)
hypothesis_settings.register_profile("fast", deadline=None, max_examples=5)
hypothesis_settings.load_profile(
    os.environ.get("HYPOTHESIS_PROFILE", "ci" if "CI" in os.environ else "dev")
)


class ByWhatTheyShare(LoadScopeScheduling):
    """Keeps on one worker the tests that share a server or a cluster, and else those of a file.

    Groups by the path of a test alone: `xdist_group` is ignored, silently, under pytest 9.2, whose
    node ids pytest-xdist 3.8 cannot mark any more.
    """

    @override
    def _split_scope(self, nodeid: str) -> str:
        path = PurePosixPath(nodeid.split("::", 1)[0])
        return next((str(folder) for folder in path.parents if str(folder) in SHARING), str(path))


SHARING = {"tests/apps", "tests/flows", "tests/cluster"}


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> LoadScopeScheduling | None:
    """Say which worker of `pytest --numprocesses N` runs what, where `--dist` does not say it."""
    return ByWhatTheyShare(config, log) if config.getoption("dist") == "load" else None


@pytest.fixture(scope="session")
def month_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Books with a month of runs in them, to be read and not to be written."""
    from blocks.ledger import Books
    from tests.fakes import month

    path = tmp_path_factory.mktemp("month") / "ledger.db"
    books = Books(f"sqlite:///{path}")
    books.migrate()
    month.fill(books)
    books.close()
    return path


@pytest.fixture(scope="session")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home folder of lowtide that no user has; LOWTIDE_TEST_HOME keeps one, and its stack, up."""
    kept = os.environ.get("LOWTIDE_TEST_HOME")
    return Path(kept) if kept else tmp_path_factory.mktemp("lowtide-home")


@pytest.fixture(scope="session")
def stack(home: Path) -> Iterator[Settings]:
    """One real local stack for the whole test run: Prefect, MLflow, a worker."""
    from prefect.settings import PREFECT_API_URL, temporary_settings

    from apps import stack as local_stack

    settings = Settings(home=home)
    parts = local_stack.up(settings, say=print)
    variables = local_stack.environment(settings, parts)
    # Prefect read its settings when it was imported; a variable set now is for child processes.
    api = temporary_settings({PREFECT_API_URL: variables["PREFECT_API_URL"]})
    with pytest.MonkeyPatch.context() as patch, api:
        for name, value in variables.items():
            patch.setenv(name, value)
        yield Settings(home=home)
    if "LOWTIDE_TEST_HOME" not in os.environ:
        local_stack.down(settings, say=print)
