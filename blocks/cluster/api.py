"""The one client of a process: requests and watches on the API server, typed errors, patience.

The official client reads the kubeconfig, proves who we are and holds the connections; its models are
not used. Objects stay the plain documents that the API server sends: the domain's pure functions
take them as they are, a thousand of them fit in memory, and no version of the models can lag behind
the cluster.

Patience is bounded and the same for every request, which can all be repeated: names are ours, patches
name what they change, deletions name a uid. 429 is obeyed for as long as it asks, up to a limit.
"""

import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import Literal, TypeAlias
from urllib.parse import urlencode

import numpy as np
import urllib3

from blocks.clock import Clock
from blocks.cluster.errors import ThrottledError, UnreachableError, error_of
from lowtide.errors import LowtideError, UnavailableError
from lowtide.objects import Document

Patch: TypeAlias = Literal["merge", "strategic-merge", "json"]

_ERROR_CODES_FROM = 400
_AGENT = "lowtide"


@dataclass(frozen=True, slots=True, kw_only=True)
class Patience:
    """How long a request is tried.

    Attributes:
        timeout_s: Longest wait for one answer.
        delays_s: Waits between two tries, before jitter.
        retry_after_s_max: The longest Retry-After that is waited for here; a longer one is raised.
    """

    timeout_s: float = 10.0
    delays_s: tuple[float, ...] = (0.2, 0.8, 2.0)
    retry_after_s_max: float = 5.0


@dataclass(slots=True, kw_only=True)
class Api:
    """Requests to one API server.

    Attributes:
        host: Address of the API server.
        pool: Connections, with the client's certificate.
        credentials: Returns the headers that prove who asks; called for each request.
        patience: How long a request is tried.
        clock: Waits between two tries.
        skew: How far the API server's clock is ahead of ours, as of its last answer.
        believed: What was found good there, and until when it is believed; `checks` keeps it.
    """

    host: str
    pool: urllib3.PoolManager
    credentials: Callable[[], dict[str, str]]
    patience: Patience = field(default_factory=Patience)
    clock: Clock = field(default_factory=Clock)
    skew: timedelta = field(default=timedelta())
    believed: dict[tuple[str, str], float] = field(default_factory=dict[tuple[str, str], float])
    _jitter: np.random.Generator = field(default_factory=np.random.default_rng)

    def now(self) -> datetime:
        """Return the time on the API server's clock, as of its last answer."""
        return self.clock.now() + self.skew

    def get(self, path: str, **query: str | int) -> Document:
        """Return an object or a list."""
        return self._document("GET", path, query=query)

    def create(self, path: str, body: Document, **query: str) -> Document:
        """Make an object and return it as the API server made it."""
        return self._document("POST", path, query=query, body=body)

    def patch(self, path: str, body: object, *, kind: Patch = "merge") -> Document:
        """Change an object and return it as it is now."""
        content = f"application/{kind}-patch+json"
        return self._document("PATCH", path, body=body, content=content)

    def delete(self, path: str, *, uid: str, version: str | None = None) -> None:
        """Delete an object, this one and no other of its name; a missing one is no error.

        Args:
            path: Where it is.
            uid: Which one is meant.
            version: Only if it has not changed since.

        Raises:
            ObjectConflictError: another object has this name, or it changed.
        """
        preconditions = {"uid": uid} | ({"resourceVersion": version} if version else {})
        options = {
            "apiVersion": "v1",
            "kind": "DeleteOptions",
            "propagationPolicy": "Background",
            "preconditions": preconditions,
        }
        self._document("DELETE", path, body=options)

    def text(self, path: str, **query: str | int) -> str:
        """Return a plain text, as a log."""
        return self._send("GET", path, query=query).data.decode("utf-8", errors="replace")

    def watch(self, path: str, *, silence_s_max: float, **query: str | int) -> Iterator[Document]:
        """Open a watch and return its events, which end when the API server ends it.

        Args:
            path: What is watched.
            silence_s_max: A connection on which nothing came for so long is dropped, seconds.
            query: Selectors, version and time-out.

        Returns:
            The events; they raise `UnreachableError` when the watch is cut, or silent for too long.

        Raises:
            UnavailableError: it could not be opened.
        """
        where = f"watch {path}"
        answer = self._try(
            "GET", path, query=query, timeout_s=silence_s_max, where=where, is_stream=True
        )
        try:
            self._check(answer, where=where)
        except LowtideError:
            answer.close()
            raise
        return _events(answer, where=where)

    def _document(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, str | int] | None = None,
        body: object = None,
        content: str = "application/json",
    ) -> Document:
        answer = self._send(method, path, query=query, body=body, content=content)
        try:
            document: Document = json.loads(answer.data)
        except ValueError as error:
            msg = "the answer is no JSON document"
            raise UnavailableError(msg, where=f"{method} {path}") from error
        return document

    def _send(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, str | int] | None = None,
        body: object = None,
        content: str = "application/json",
    ) -> urllib3.BaseHTTPResponse:
        where = f"{method} {path}"
        for delay_s in (*self.patience.delays_s, None):
            try:
                answer = self._try(
                    method,
                    path,
                    query=query,
                    body=body,
                    content=content,
                    timeout_s=self.patience.timeout_s,
                    where=where,
                )
                self._check(answer, where=where)
            except UnavailableError as error:
                if delay_s is None:
                    raise
                self.clock.pause(self._wait_s(error, delay_s))
            else:
                return answer
        raise AssertionError(where)  # pragma: no cover - the last try returns or raises

    def _try(
        self,
        method: str,
        path: str,
        *,
        where: str,
        timeout_s: float,
        query: Mapping[str, str | int] | None = None,
        body: object = None,
        content: str = "application/json",
        is_stream: bool = False,
    ) -> urllib3.BaseHTTPResponse:
        url = f"{self.host}{path}" + (f"?{urlencode(query)}" if query else "")
        headers = {
            "Accept": "application/json",
            "Content-Type": content,
            "User-Agent": _AGENT,
            **self.credentials(),
        }
        try:
            return self.pool.request(
                method,
                url,
                body=None if body is None else json.dumps(body),
                headers=headers,
                timeout=urllib3.Timeout(connect=self.patience.timeout_s, read=timeout_s),
                retries=False,
                preload_content=not is_stream,
            )
        except (urllib3.exceptions.HTTPError, OSError) as error:
            msg = f"the API server does not answer: {error}"
            raise UnreachableError(msg, where=where, remedy="ask again") from error

    def _check(self, answer: urllib3.BaseHTTPResponse, *, where: str) -> None:
        self._note_clock(answer)
        if answer.status < _ERROR_CODES_FROM:
            return
        try:
            status = json.loads(answer.data)
        except ValueError:
            status = {"message": answer.data[:500].decode("utf-8", errors="replace")}
        raise error_of(answer.status, status, where=where, retry_after_s=_seconds(answer.headers))

    def _wait_s(self, error: LowtideError, delay_s: float) -> float:
        asked_s = error.retry_after_s if isinstance(error, ThrottledError) else None
        if asked_s is not None and asked_s > self.patience.retry_after_s_max:
            raise error
        return max(asked_s or 0.0, delay_s * self._jitter.uniform(0.5, 1.5))

    def _note_clock(self, answer: urllib3.BaseHTTPResponse) -> None:
        date = answer.headers.get("Date")
        if date:
            # A Date header is cut to whole seconds: half of one is the best guess of the rest.
            server = parsedate_to_datetime(date).astimezone(UTC) + timedelta(seconds=0.5)
            self.skew = server - self.clock.now()


def _events(answer: urllib3.BaseHTTPResponse, *, where: str) -> Iterator[Document]:
    with closing(answer):
        try:
            for line in _lines(answer):
                yield json.loads(line)
        except (urllib3.exceptions.HTTPError, OSError, ValueError) as error:
            msg = f"the watch was cut: {error}"
            raise UnreachableError(msg, where=where) from error


def _lines(answer: urllib3.BaseHTTPResponse) -> Iterator[bytes]:
    """Yield the lines of a stream as they come; a last one without its end was cut, and is dropped."""
    rest = b""
    for chunk in answer.stream(decode_content=True):
        *lines, rest = (rest + chunk).split(b"\n")
        yield from (line for line in lines if line)


def _seconds(headers: Mapping[str, str]) -> float | None:
    try:
        return float(headers["Retry-After"])
    except (KeyError, ValueError):
        return None  # a date is allowed there too, and no API server sends one
