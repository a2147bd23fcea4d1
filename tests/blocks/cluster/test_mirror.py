import time
from collections.abc import Callable, Iterator
from dataclasses import replace

import pytest

from blocks.cluster.errors import ForbiddenError, UnreachableError
from blocks.cluster.mirror import Mirror, Pace
from lowtide.errors import UnavailableError
from tests.blocks.cluster.server import PATH, Answer, Server

WITHIN_S = 60.0
# What a test waits for is a hundred times faster than in life; what must not happen to it meanwhile,
# on a machine that is busy, is as slow.
FAST = Pace(
    watch_s=30,
    silence_s_max=0.4,
    backoff_s=0.01,
    backoff_s_max=0.05,
    absent_s=0.05,
    trusted_s=WITHIN_S,
    first_s=WITHIN_S,
)


@pytest.fixture
def mirrors(server: Server) -> Iterator[Callable[..., Mirror]]:
    """Makes mirrors of the server, and stops them."""
    made: list[Mirror] = []

    def make(pace: Pace = FAST, *, is_optional: bool = False) -> Mirror:
        mirror = Mirror(
            api=server.api(),
            path=PATH,
            selector="run",
            trim=dict,
            group=lambda document: document["metadata"]["labels"]["run"],
            pace=pace,
            is_optional=is_optional,
        )
        mirror.start()
        made.append(mirror)
        return mirror

    yield make
    for mirror in made:
        mirror.stop()


def names(mirror: Mirror) -> set[str]:
    return {document["metadata"]["name"] for document in mirror.all()}


def until(holds: Callable[[], bool]) -> None:
    deadline = time.monotonic() + WITHIN_S
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_it_begins_with_what_is_there_page_by_page(
    server: Server, mirrors: Callable[..., Mirror]
) -> None:
    for number in range(600):
        server.set(f"pod-{number}")

    mirror = mirrors()

    assert len(mirror.all()) == 600
    assert server.state.requests.count("get") == 3


def test_it_follows_every_change(server: Server, mirrors: Callable[..., Mirror]) -> None:
    server.set("a")
    mirror = mirrors()
    assert names(mirror) == {"a"}

    server.set("b")
    server.set("a", phase="Running")
    server.remove("b")
    server.set("c")

    until(lambda: names(mirror) == {"a", "c"})
    assert [document.get("phase") for document in mirror.of("r-1")] == ["Running", None]
    assert server.state.requests.count("get") == 1


def test_objects_are_looked_up_by_their_group(
    server: Server, mirrors: Callable[..., Mirror]
) -> None:
    server.set("a", run="r-1")
    server.set("b", run="r-2")
    mirror = mirrors()

    assert [document["metadata"]["name"] for document in mirror.of("r-2")] == ["b"]
    assert mirror.of("r-3") == ()


def test_a_cut_watch_goes_on_where_it_was_without_a_new_list(
    server: Server, mirrors: Callable[..., Mirror]
) -> None:
    mirror = mirrors()
    mirror.all()

    for number in range(5):
        server.cut()
        server.set(f"pod-{number}")
        until(lambda number=number: f"pod-{number}" in names(mirror))

    assert server.state.requests.count("get") == 1
    assert server.state.requests.count("watch") >= 5


def test_a_forgotten_history_is_listed_anew_and_what_was_deleted_meanwhile_is_gone(
    server: Server, mirrors: Callable[..., Mirror]
) -> None:
    server.set("old")
    mirror = mirrors()
    mirror.all()

    with server.state.lock:
        server.remove("old")
        server.set("new")
        server.forget()

    until(lambda: names(mirror) == {"new"})
    assert server.state.requests.count("get") >= 2


def test_a_silent_watch_is_replaced_by_one_that_speaks(
    server: Server, mirrors: Callable[..., Mirror]
) -> None:
    mirror = mirrors()
    mirror.all()
    server.state.is_silent = True
    server.set("unheard")
    watches = server.state.requests.count("watch")

    until(lambda: server.state.requests.count("watch") > watches)
    server.state.is_silent = False

    until(lambda: names(mirror) == {"unheard"})


@pytest.mark.slow
def test_a_list_is_made_anew_after_a_while_in_any_case(
    server: Server, mirrors: Callable[..., Mirror]
) -> None:
    mirrors(replace(FAST, relist_s=0.1))

    until(lambda: server.state.requests.count("get") >= 3)


def test_while_contact_is_lost_it_says_so_and_then_goes_on(
    server: Server, mirrors: Callable[..., Mirror]
) -> None:
    mirror = mirrors(replace(FAST, trusted_s=0.1))
    mirror.all()
    server.state.is_down = True

    def seen() -> set[str] | None:
        try:
            return names(mirror)
        except UnreachableError:
            return None

    until(lambda: seen() is None)
    server.state.is_down = False
    server.set("after")

    until(lambda: seen() == {"after"})


def test_one_lost_request_is_no_loss_of_contact(
    server: Server, mirrors: Callable[..., Mirror]
) -> None:
    mirror = mirrors()
    mirror.all()

    server.cut()
    server.state.answers.extend([Answer(code=500)] * 2)

    until(lambda: not server.state.answers)
    assert mirror.all() == ()


def test_before_the_first_list_it_waits_and_then_says_what_is_wrong(
    server: Server, mirrors: Callable[..., Mirror]
) -> None:
    server.state.is_down = True
    mirror = mirrors(replace(FAST, first_s=0.3))

    with pytest.raises(UnavailableError):
        mirror.all()


def test_a_kind_that_we_may_not_see_is_an_error_where_it_is_needed(
    server: Server, mirrors: Callable[..., Mirror]
) -> None:
    body = b'{"message": "pods is forbidden: User \\"x\\" cannot list resource"}'
    server.state.answers.extend([Answer(code=403, body=body)] * 100)
    mirror = mirrors()

    with pytest.raises(ForbiddenError):
        mirror.all()


def test_a_kind_that_the_cluster_does_not_know_is_empty_where_it_is_optional(
    server: Server, mirrors: Callable[..., Mirror]
) -> None:
    server.state.answers.append(Answer(code=404))
    server.set("later")

    mirror = mirrors(is_optional=True)

    assert mirror.all() == ()
    until(lambda: names(mirror) == {"later"})


def test_one_reads_one_s_own_writes_and_an_older_event_does_not_undo_them(
    server: Server, mirrors: Callable[..., Mirror]
) -> None:
    mirror = mirrors()
    mirror.all()
    with server.state.lock:
        older = server.set("a", phase="Pending")
        newer = server.set("a", phase="Running")

        mirror.put(newer)
        mirror.put(older)
        assert [document["phase"] for document in mirror.of("r-1")] == ["Running"]

    server.set("b")
    until(lambda: "b" in names(mirror))
    assert {d["metadata"]["name"]: d.get("phase") for d in mirror.all()}["a"] == "Running"


@pytest.mark.slow
def test_a_list_that_was_made_before_a_write_does_not_undo_it(
    server: Server, mirrors: Callable[..., Mirror]
) -> None:
    mirror = mirrors(replace(FAST, relist_s=0.1))
    mirror.all()
    lists = server.state.requests.count("get")
    written = {
        "metadata": {
            "name": "mine",
            "uid": "uid-mine",
            "resourceVersion": "100000",
            "labels": {"run": "r-1"},
        }
    }

    mirror.put(written)
    until(lambda: server.state.requests.count("get") >= lists + 2)

    assert names(mirror) == {"mine"}


def test_what_is_dropped_is_gone_and_every_change_is_counted(
    server: Server, mirrors: Callable[..., Mirror]
) -> None:
    server.set("a")
    mirror = mirrors()
    mirror.all()
    before = mirror.changes

    mirror.drop("uid-a")
    mirror.drop("uid-a")

    assert mirror.all() == mirror.of("r-1") == ()
    assert mirror.changes == before + 1
