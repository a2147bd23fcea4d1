import json
from datetime import UTC, timedelta
from email.utils import format_datetime
from pathlib import Path

import pytest

from blocks.cluster.api import Patience
from blocks.cluster.connect import connect
from blocks.cluster.errors import (
    ForbiddenError,
    GoneError,
    InvalidObjectError,
    MissingError,
    ObjectConflictError,
    QuotaExceededError,
    ServerFaultError,
    ThrottledError,
    UnreachableError,
)
from lowtide.errors import BadInputError, LowtideError, UnavailableError
from tests.blocks.cluster.clocks import NotedClock
from tests.blocks.cluster.server import PATH, Answer, Server

RBAC = 'jobs.batch is forbidden: User "system:anonymous" cannot create resource "jobs"'
POLICY = "jobs is forbidden: ValidatingAdmissionPolicy 'p' with binding 'p' denied request: no"
QUOTA = (
    'pods "p" is forbidden: exceeded quota: q, requested: requests.nvidia.com/gpu=3, '
    "used: requests.nvidia.com/gpu=0, limited: requests.nvidia.com/gpu=2"
)
MEANINGS: dict[str, tuple[int, str, type[LowtideError]]] = {
    "a missing right": (403, RBAC, ForbiddenError),
    "a broken rule": (403, POLICY, InvalidObjectError),
    "a used-up quota": (403, QUOTA, QuotaExceededError),
    "credentials that are not accepted": (401, "Unauthorized", ForbiddenError),
    "no such object": (404, "not found", MissingError),
    "an object that exists or has changed": (409, "conflict", ObjectConflictError),
    "a forgotten history": (410, "too old", GoneError),
    "an invalid object": (422, "spec.replicas: Invalid", InvalidObjectError),
    "a malformed request": (400, "bad", InvalidObjectError),
    "something new": (418, "teapot", LowtideError),
}


@pytest.mark.parametrize(("code", "message", "kind"), MEANINGS.values(), ids=MEANINGS)
def test_what_a_refusal_means_is_decided_here(
    server: Server, code: int, message: str, kind: type[LowtideError]
) -> None:
    answer = Answer(code=code, body=json.dumps({"message": message}).encode())
    server.state.answers.extend([answer] * 4)

    with pytest.raises(LowtideError) as caught:
        server.api().get(PATH)

    assert type(caught.value) is kind
    assert isinstance(caught.value, UnavailableError) is (kind is GoneError)
    assert "requests.nvidia.com/gpu" in str(caught.value) or message in str(caught.value)


def test_a_used_up_quota_says_what_is_short_and_by_how_much(server: Server) -> None:
    server.state.answers.append(Answer(code=403, body=json.dumps({"message": QUOTA}).encode()))

    with pytest.raises(QuotaExceededError) as caught:
        server.api().create(PATH, {})

    (short,) = caught.value.shortages
    assert (short.resource, short.asked, short.used, short.limit) == (
        "requests.nvidia.com/gpu",
        "3",
        "0",
        "2",
    )


def test_a_throttled_request_waits_for_as_long_as_it_is_asked_to(server: Server) -> None:
    clock = NotedClock()
    server.state.answers.append(Answer(code=429, headers={"Retry-After": "3"}))

    server.api(clock=clock).get(PATH)

    assert len(clock.pauses_s) == 1
    assert clock.pauses_s[0] >= 3


def test_a_wait_that_is_too_long_is_left_to_the_caller(server: Server) -> None:
    clock = NotedClock()
    server.state.answers.append(Answer(code=429, headers={"Retry-After": "60"}))

    with pytest.raises(ThrottledError) as caught:
        server.api(clock=clock).get(PATH)

    assert caught.value.retry_after_s == 60
    assert clock.pauses_s == []


@pytest.mark.parametrize("header", [{}, {"Retry-After": "soon"}])
def test_without_a_time_a_throttled_request_waits_as_after_any_fault(
    server: Server, header: dict[str, str]
) -> None:
    clock = NotedClock()
    server.state.answers.append(Answer(code=429, headers=header))

    server.api(clock=clock).get(PATH)

    assert 0.1 <= clock.pauses_s[0] <= 0.3


def test_a_server_s_own_fault_is_tried_again_a_few_times_with_growing_waits(
    server: Server,
) -> None:
    clock = NotedClock()
    server.state.answers.extend([Answer(code=500, body=b"oops")] * 3)

    server.api(clock=clock).get(PATH)

    growing_s = Patience().delays_s
    assert list(growing_s) == sorted(growing_s)
    for delay_s, paused_s in zip(growing_s, clock.pauses_s, strict=True):
        assert 0.5 * delay_s <= paused_s <= 1.5 * delay_s
    assert server.state.requests == ["get"] * 4


def test_a_server_that_stays_at_fault_is_unavailable_in_the_end(server: Server) -> None:
    server.state.answers.extend([Answer(code=503)] * 4)

    with pytest.raises(ServerFaultError):
        server.api().get(PATH)


def test_no_answer_is_told_apart_from_a_wrong_one(server: Server) -> None:
    server.state.is_down = True

    with pytest.raises(UnreachableError, match="does not answer"):
        server.api(patience=Patience(timeout_s=0.5)).get(PATH)


def test_an_answer_that_is_no_document_is_no_answer(server: Server) -> None:
    server.state.answers.append(Answer(code=200, body=b"<html>"))

    with pytest.raises(UnavailableError, match="no JSON"):
        server.api().get(PATH)


def test_the_server_s_clock_is_known_from_its_answers(server: Server) -> None:
    clock = NotedClock()
    ahead = clock.now().astimezone(UTC) + timedelta(seconds=90)
    headers = {"Date": format_datetime(ahead, usegmt=True)}
    server.state.answers.append(Answer(code=200, headers=headers, body=b"{}"))
    api = server.api(clock=clock)

    api.get(PATH)

    assert abs(api.skew - timedelta(seconds=90)) < timedelta(seconds=2)
    assert api.now() > clock.now() + timedelta(seconds=80)


def test_a_deletion_names_the_one_object_that_is_meant(server: Server) -> None:
    server.api().delete(f"{PATH}/a", uid="uid-a", version="7")

    assert server.state.requests == ["delete"]


def test_a_watch_that_is_refused_says_why(server: Server) -> None:
    server.state.answers.append(Answer(code=410))

    with pytest.raises(GoneError):
        server.api().watch(PATH, silence_s_max=1, watch="true")


def test_a_silent_watch_is_dropped(server: Server) -> None:
    server.state.is_silent = True
    events = server.api().watch(
        PATH, silence_s_max=0.2, watch="true", resourceVersion=100, timeoutSeconds=30
    )

    with pytest.raises(UnreachableError, match="the watch was cut"):
        list(events)


def test_without_a_usable_kubeconfig_it_says_which_one(tmp_path: Path) -> None:
    empty = tmp_path / "kubeconfig"
    empty.write_text("apiVersion: v1\nkind: Config\n")

    with pytest.raises(BadInputError, match="no usable access") as caught:
        connect(empty, None)

    assert caught.value.where == str(empty)


def test_a_kubeconfig_s_server_and_token_are_used_and_the_client_is_kept(tmp_path: Path) -> None:
    path = tmp_path / "kubeconfig"
    path.write_text(
        json.dumps(
            {
                "apiVersion": "v1",
                "kind": "Config",
                "current-context": "c",
                "contexts": [{"name": "c", "context": {"cluster": "c", "user": "u"}}],
                "clusters": [{"name": "c", "cluster": {"server": "http://127.0.0.1:1/"}}],
                "users": [{"name": "u", "user": {"token": "secret"}}],
            }
        )
    )

    api = connect(path, None)

    assert api.host == "http://127.0.0.1:1"
    assert api.credentials() == {"authorization": "Bearer secret"}
    assert connect(path, None) is api
