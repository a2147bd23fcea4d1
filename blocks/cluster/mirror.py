"""A local copy of what the API server holds of one kind in one namespace.

The one hard idea: a list is the truth, a watch is a hint. The copy is filled by a list, kept fresh by
a watch from that list's version on, and filled anew when the server no longer knows that version
(410) or after a while in any case. A watch that ends, is cut or falls silent says nothing about the
objects: it is simply begun again where it was.

Whoever writes an object may `put` the answer here and reads its own write at once; what the watch
brings later is older, and is recognised by its version.
"""

import threading
from collections.abc import Callable, Hashable, Mapping
from dataclasses import dataclass, field
from time import monotonic
from typing import TypeAlias

import numpy as np

from blocks.cluster.api import Api
from blocks.cluster.errors import ForbiddenError, GoneError, MissingError, error_of
from lowtide.errors import LowtideError, UnavailableError
from lowtide.objects import Document

Trim: TypeAlias = Callable[[Document], Document]
Group: TypeAlias = Callable[[Document], Hashable]

_PAGE = 250


@dataclass(frozen=True, slots=True, kw_only=True)
class Pace:
    """How a copy is kept fresh, seconds.

    Attributes:
        watch_s: How long the server keeps one watch; it then ends it, which proves it alive.
        silence_s_max: A watch that is silent for longer than that is dropped.
        relist_s: A list is made anew after so long in any case.
        backoff_s: First wait after a failure; doubled at each further one.
        backoff_s_max: Longest wait after a failure.
        absent_s: Wait before asking again for a kind that the cluster does not know.
        trusted_s: How long the copy is trusted after contact was lost.
        first_s: Longest wait for the first list.
    """

    watch_s: float = 40.0
    silence_s_max: float = 50.0
    relist_s: float = 600.0
    backoff_s: float = 0.2
    backoff_s_max: float = 5.0
    absent_s: float = 120.0
    trusted_s: float = 5.0
    first_s: float = 15.0


@dataclass(slots=True, kw_only=True)
class Mirror:
    """Copies the objects of one kind, in a thread of its own.

    Attributes:
        api: The client.
        path: Where the objects are, as in /api/v1/namespaces/NS/pods.
        selector: Label selector, applied by the server.
        trim: Keeps of an object what is needed.
        group: By what objects are looked up.
        pace: How the copy is kept fresh.
        is_optional: Whether the cluster may not know the kind, or not show it to us.
    """

    api: Api
    path: str
    selector: str
    trim: Trim
    group: Group
    pace: Pace = field(default_factory=Pace)
    is_optional: bool = False
    changes: int = 0
    """Counts every change of the copy, for those who derive something from it."""
    _objects: dict[str, Document] = field(default_factory=dict[str, Document])
    _groups: dict[Hashable, dict[str, Document]] = field(
        default_factory=dict[Hashable, dict[str, Document]]
    )
    _lock: threading.RLock = field(default_factory=threading.RLock)
    _filled: threading.Event = field(default_factory=threading.Event)
    _stopped: threading.Event = field(default_factory=threading.Event)
    _failure: LowtideError | None = None
    _failing_since_s: float | None = None
    _version: str = ""
    _jitter: np.random.Generator = field(default_factory=np.random.default_rng)

    def start(self) -> None:
        """Begin to copy."""
        threading.Thread(target=self._run, name=f"mirror {self.path}", daemon=True).start()

    def stop(self) -> None:
        """End the copying with the current watch."""
        self._stopped.set()

    def of(self, group: Hashable) -> tuple[Document, ...]:
        """Return the objects of a group.

        Raises:
            UnavailableError: contact is lost, or was never made.
            ForbiddenError: we may not look.
        """
        self._check_fresh()
        with self._lock:
            return tuple(self._groups.get(group, {}).values())

    def all(self) -> tuple[Document, ...]:
        """Return all objects; raises as `of` does."""
        self._check_fresh()
        with self._lock:
            return tuple(self._objects.values())

    def put(self, document: Document) -> None:
        """Take over an object as the API server has just returned it for a write."""
        with self._lock:
            self._put(self.trim(document))

    def drop(self, uid: str) -> None:
        """Leave out an object that is deleted, or no longer selected."""
        with self._lock:
            self._remove(uid)

    def _run(self) -> None:
        wait_s = self.pace.backoff_s
        relist_at_s = monotonic()
        while not self._stopped.is_set():
            try:
                if not self._version or monotonic() >= relist_at_s:
                    self._list()
                    relist_at_s = monotonic() + self.pace.relist_s
                self._watch()
                wait_s = self.pace.backoff_s
            except LowtideError as error:
                wait_s = self._recover(error, wait_s)

    def _recover(self, error: LowtideError, wait_s: float) -> float:
        """Wait after a failure, and return how long to wait after the next one."""
        if isinstance(error, GoneError):
            self._version = ""  # contact is not lost, only the place in the history
        else:
            self._fail(error)
        if isinstance(error, MissingError | ForbiddenError):
            self._filled.set()  # with nothing: the kind is not there, or not for us
            if self.is_optional:
                self._stopped.wait(self.pace.absent_s)
                return wait_s
        # Jitter, so that a thousand clients do not come back in the same moment.
        self._stopped.wait(wait_s * self._jitter.uniform(0.5, 1.5))
        return min(2 * wait_s, self.pace.backoff_s_max)

    def _list(self) -> None:
        """Fill the copy anew, page by page."""
        found: dict[str, Document] = {}
        page: dict[str, str] = {}
        while True:
            answer = self.api.get(self.path, labelSelector=self.selector, limit=_PAGE, **page)
            for document in answer["items"]:
                found[document["metadata"]["uid"]] = self.trim(document)
            if not answer["metadata"].get("continue"):
                break
            page = {"continue": answer["metadata"]["continue"]}
        self._version = answer["metadata"]["resourceVersion"]
        self._replace(found, version=int(self._version))
        self._succeed()
        self._filled.set()

    def _watch(self) -> None:
        """Follow the changes until the server ends the watch."""
        events = self.api.watch(
            self.path,
            silence_s_max=self.pace.silence_s_max,
            labelSelector=self.selector,
            resourceVersion=self._version,
            watch="true",
            allowWatchBookmarks="true",
            timeoutSeconds=max(1, round(self.pace.watch_s)),
        )
        self._succeed()
        for event in events:
            self._apply(event)
            if self._stopped.is_set():
                break

    def _apply(self, event: Document) -> None:
        kind, document = event["type"], event["object"]
        if kind == "ERROR":
            raise error_of(document.get("code", 500), document, where=f"watch {self.path}")
        if kind == "DELETED":
            self.drop(document["metadata"]["uid"])
        elif kind != "BOOKMARK":
            self.put(document)
        self._version = document["metadata"]["resourceVersion"]

    def _check_fresh(self) -> None:
        if not self._filled.wait(self.pace.first_s):
            raise self._failure or UnavailableError("no answer yet", where=self.path)
        since_s, failure = self._failing_since_s, self._failure
        if since_s is None or failure is None:
            return
        if isinstance(failure, MissingError | ForbiddenError):
            if not self.is_optional:
                raise failure
        elif monotonic() > since_s + self.pace.trusted_s:
            raise failure

    def _succeed(self) -> None:
        self._failure = self._failing_since_s = None

    def _fail(self, error: LowtideError) -> None:
        self._failure = error
        if self._failing_since_s is None:
            self._failing_since_s = monotonic()

    def _replace(self, found: Mapping[str, Document], *, version: int) -> None:
        with self._lock:
            # What was put since the list was made is newer than the list.
            gone = [
                uid
                for uid, document in self._objects.items()
                if uid not in found and _version_of(document) <= version
            ]
            for uid in gone:
                self._remove(uid)
            for document in found.values():
                self._put(document)

    def _put(self, document: Document) -> None:
        uid = document["metadata"]["uid"]
        known = self._objects.get(uid)
        if known is not None and _version_of(known) >= _version_of(document):
            return
        self._objects[uid] = document
        self._groups.setdefault(self.group(document), {})[uid] = document
        self.changes += 1

    def _remove(self, uid: str) -> None:
        document = self._objects.pop(uid, None)
        if document is None:
            return
        group = self.group(document)
        self._groups[group].pop(uid, None)
        if not self._groups[group]:
            del self._groups[group]
        self.changes += 1


def _version_of(document: Document) -> int:
    # Opaque once, resource versions of one kind can be compared since Kubernetes 1.35.
    return int(document["metadata"]["resourceVersion"])
