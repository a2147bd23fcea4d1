"""What the API server's refusals mean, decided once, at the edge.

Nothing behind this module knows HTTP, and nothing knows the client library.

    * LowtideError
      x ForbiddenError            a Role lacks a verb; nothing else mends it
      x QuotaExceededError        an object quota is used up (resource, asked, used, limit)
      x MissingError              there is no such object, or no such kind
      x BadInputError
        + InvalidObjectError      the object breaks a rule: a schema, a limit, a policy
      x ConflictError
        + ObjectConflictError     it exists already, or changed since it was read
      x UnavailableError
        + ThrottledError          too many requests; says how long to wait
        + ServerFaultError        the API server is in trouble
        + UnreachableError        no answer at all
        + GoneError               the history asked for is gone: list again
"""

from collections.abc import Mapping
from typing import Any, ClassVar

from lowtide.errors import BadInputError, ConflictError, LowtideError, UnavailableError
from lowtide.quantities import Shortage, parse_exceeded

_BAD_REQUEST, _FORBIDDEN, _NOT_FOUND, _CONFLICT = 400, 403, 404, 409
_GONE, _UNPROCESSABLE, _THROTTLED, _SERVER_ERROR = 410, 422, 429, 500
_UNAUTHORIZED = 401


class ForbiddenError(LowtideError):
    """The caller may not do this in the cluster; nothing was done."""

    kind: ClassVar[str] = "forbidden"


class QuotaExceededError(LowtideError):
    """A quota refuses an object; nothing was made.

    Attributes:
        shortages: What is short, resource by resource.
    """

    kind: ClassVar[str] = "quota-exceeded"

    def __init__(self, shortages: tuple[Shortage, ...], *, where: str) -> None:
        message = "; ".join(str(shortage) for shortage in shortages)
        super().__init__(message, where=where, remedy="wait, ask for less, or raise the quota")
        self.shortages = shortages


class MissingError(LowtideError):
    """There is no such object, or the cluster does not know its kind."""

    kind: ClassVar[str] = "missing"


class InvalidObjectError(BadInputError):
    """The API server or a policy refuses the object as it is; nothing was made."""


class ObjectConflictError(ConflictError):
    """The object exists already, or it changed since it was read."""


class ThrottledError(UnavailableError):
    """Too many requests.

    Attributes:
        retry_after_s: How long the API server asks to wait, seconds; None: it did not say.
    """

    def __init__(self, message: str, *, where: str, retry_after_s: float | None) -> None:
        super().__init__(message, where=where, remedy="it is asked again by itself")
        self.retry_after_s = retry_after_s


class ServerFaultError(UnavailableError):
    """The API server answered, but with a fault of its own."""


class UnreachableError(UnavailableError):
    """The API server did not answer."""


class GoneError(UnavailableError):
    """The part of the history that was asked for is gone; only a new list helps."""


def error_of(
    code: int, status: Mapping[str, Any], *, where: str, retry_after_s: float | None = None
) -> LowtideError:
    """Return the error that an answer means.

    Args:
        code: HTTP status.
        status: Body: a Kubernetes `Status`, possibly empty.
        where: Request, for the message.
        retry_after_s: The answer's Retry-After, seconds.

    Returns:
        The error to raise.

    Examples:
        >>> error_of(
        ...     403, {"message": 'jobs is forbidden: User "x" cannot create'}, where="POST jobs"
        ... )
        ForbiddenError('jobs is forbidden: User "x" cannot create')
    """
    message = str(status.get("message") or f"HTTP {code}")
    if code == _FORBIDDEN:
        return _forbidden(message, where=where)
    if code == _THROTTLED:
        return ThrottledError(message, where=where, retry_after_s=retry_after_s)
    if code >= _SERVER_ERROR:
        return ServerFaultError(message, where=where, got=f"HTTP {code}", remedy="ask again")
    kind, remedy = _BY_CODE.get(code, (LowtideError, None))
    return kind(message, where=where, got=f"HTTP {code}", remedy=remedy)


_BY_CODE: Mapping[int, tuple[type[LowtideError], str | None]] = {
    _BAD_REQUEST: (InvalidObjectError, "nothing was made; change what was asked for"),
    _UNAUTHORIZED: (ForbiddenError, "the credentials are not accepted; renew the kubeconfig"),
    _NOT_FOUND: (MissingError, "check the name, and that what serves it is installed"),
    _CONFLICT: (ObjectConflictError, "read it again"),
    _GONE: (GoneError, "list again"),
    _UNPROCESSABLE: (InvalidObjectError, "nothing was made; change what was asked for"),
}


def _forbidden(message: str, *, where: str) -> LowtideError:
    """403 says three different things: a quota, a rule about the object, or a missing right."""
    shortages = parse_exceeded(message)
    if shortages:
        return QuotaExceededError(shortages, where=where)
    # RBAC's refusals name who asked; those of admission (limits, policies, security) name the rule.
    if "User " in message and " cannot " in message:
        remedy = "let an administrator apply infra/kubernetes/flows.yaml"
        return ForbiddenError(message, where=where, remedy=remedy)
    return InvalidObjectError(message, where=where, remedy="nothing was made; change the job")
