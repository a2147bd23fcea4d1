"""What every test shares: Hypothesis' profiles, and one local stack for all that need servers."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import settings as hypothesis_settings
from prefect.settings import PREFECT_API_URL, temporary_settings

from apps import stack as local_stack
from blocks.ledger import Books
from blocks.settings import Settings
from tests.fakes import month

# Shared by several suites, and so imported before the second of them could ask for it.
pytest.register_assert_rewrite("tests.fakes.runner_contract")

hypothesis_settings.register_profile("dev", deadline=None)
hypothesis_settings.register_profile("ci", deadline=None, derandomize=True, max_examples=200)
hypothesis_settings.register_profile("fast", deadline=None, max_examples=10)
hypothesis_settings.load_profile(
    os.environ.get("HYPOTHESIS_PROFILE", "ci" if "CI" in os.environ else "dev")
)


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Keep together, on one worker, the tests that share what is dear to start.

    The cluster is one thing, and is started once. The stack may be started by two workers, so its
    tests are kept together by folder alone: the worker that ends first takes the next folder.
    """
    for item in items:
        fixtures: list[str] = getattr(item, "fixturenames", [])
        folder = item.path.relative_to(config.rootpath).parent
        together = str(item.path)
        if "stack" in fixtures:
            together = f"stack, {folder}"
        if "bed" in fixtures:
            together = "cluster"
        item.add_marker(pytest.mark.xdist_group(together))


@pytest.fixture(scope="session")
def month_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Books with a month of runs in them, to be read and not to be written."""
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
