"""Optional packages: a command that needs one says how to get it."""

from importlib.util import find_spec

from lowtide.errors import UnavailableError


def needs(package: str, *, extra: str) -> None:
    """Make sure that an optional package is installed.

    Args:
        package: The package that is imported.
        extra: Name of the extra that brings it.

    Raises:
        UnavailableError: it is not.
    """
    if find_spec(package) is None:
        msg = f"the package {package} is not installed"
        raise UnavailableError(msg, remedy=f"pip install 'lowtide[{extra}]'")
