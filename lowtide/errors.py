"""The errors a caller can mend, each with who, expected, got and what to do next.

A "no" is a value (`lowtide.verdict.Refused`); these are for input that cannot be used and for
books that contradict themselves. One shape serves every door: a person reads `str(error)`, a
program reads `error.document()`.

    * LowtideError
      x BadInputError        job.yaml: epochs: expected an integer >= 1, got 0; set the number ...
      x ConflictError        run 'r-1': already holds 0.40 USD, asked for 0.55 USD; ...
        + KeyReusedError     key 'nightly': belongs to another job; ...
      x StaleOwnerError      run 'r-1': the lease went to owner 'b' (fencing 3); ...
      x UnavailableError     ledger: no answer in 5 s; ...
"""

from typing import Any, ClassVar

from typing_extensions import override


class LowtideError(Exception):
    """Something lowtide can explain.

    Args:
        message: What happened, one sentence without a full stop at its end.
        where: Whose it is: a file and key path, a run, a budget.
        expected: What would have been right.
        got: What came instead.
        remedy: What the reader can do next.

    Examples:
        >>> print(
        ...     BadInputError(
        ...         "not usable",
        ...         where="job.yaml: epochs",
        ...         expected=">= 1",
        ...         got="0",
        ...         remedy="raise it",
        ...     )
        ... )
        job.yaml: epochs: not usable (expected >= 1, got 0); raise it
    """

    kind: ClassVar[str] = "error"

    def __init__(
        self,
        message: str,
        *,
        where: str | None = None,
        expected: str | None = None,
        got: str | None = None,
        remedy: str | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.where = where
        self.expected = expected
        self.got = got
        self.remedy = remedy

    @override
    def __str__(self) -> str:
        facts = [
            f"{label} {fact}"
            for label, fact in (("expected", self.expected), ("got", self.got))
            if fact is not None
        ]
        return (
            (f"{self.where}: " if self.where else "")
            + self.message
            + (f" ({', '.join(facts)})" if facts else "")
            + (f"; {self.remedy}" if self.remedy else "")
        )

    def document(self) -> dict[str, Any]:
        """Return the error as the `error` object of design §8."""
        return {
            "kind": self.kind,
            "message": self.message,
            "where": self.where,
            "expected": self.expected,
            "got": self.got,
            "remedy": self.remedy,
        }


class BadInputError(LowtideError):
    """What the caller gave cannot be used; nothing was held, nothing was started."""

    kind = "bad-input"


class ConflictError(LowtideError):
    """The same id came again with other numbers; the books keep the first."""

    kind = "conflict"


class KeyReusedError(ConflictError):
    """A run's key belongs to another job; the run that has it is untouched."""

    kind = "key-reused"


class StaleOwnerError(LowtideError):
    """The caller no longer owns the run; it must stop without touching anything."""

    kind = "stale-owner"


class UnavailableError(LowtideError):
    """No answer, not a wrong answer: the same request may work later."""

    kind = "unavailable"
