import json
from datetime import timedelta
from typing import Any

import pytest

from blocks.cluster import checks
from lowtide.errors import BadInputError
from tests.blocks.cluster.server import Answer, Server

FORBIDDEN = {"message": 'clusterqueues is forbidden: User "x" cannot get resource'}
POLICY: dict[str, Any] = {"spec": {"failurePolicy": "Fail"}}
BINDINGS: dict[str, Any] = {
    "items": [
        {"spec": {"policyName": "other", "validationActions": ["Deny"]}},
        {"spec": {"policyName": "p", "validationActions": ["Warn", "Deny"]}},
    ]
}


def answers(server: Server, *documents: dict[str, Any], code: int = 200) -> None:
    server.state.answers.extend(
        Answer(code=code, body=json.dumps(document).encode()) for document in documents
    )


def test_a_policy_that_denies_is_in_force_and_is_believed_for_a_while(server: Server) -> None:
    api = server.api()
    answers(server, POLICY, BINDINGS)

    checks.check_policies(api, ("p",))
    checks.check_policies(api, ("p",))

    assert len(server.state.requests) == 2


def test_what_one_client_believes_is_nothing_to_the_next_one(server: Server) -> None:
    answers(server, POLICY, BINDINGS)
    checks.check_policies(server.api(), ("p",))
    answers(server, {"spec": {"failurePolicy": "Ignore"}}, BINDINGS)

    with pytest.raises(BadInputError, match="when it fails"):
        checks.check_policies(server.api(), ("p",))


LAX: dict[str, tuple[list[dict[str, Any]], str]] = {
    "lets everything pass": ([{"spec": {"failurePolicy": "Ignore"}}, BINDINGS], "when it fails"),
    "is not bound": ([POLICY, {"items": BINDINGS["items"][:1]}], "no binding"),
    "only warns": (
        [POLICY, {"items": [{"spec": {"policyName": "p", "validationActions": ["Warn"]}}]}],
        "no binding",
    ),
}


@pytest.mark.parametrize(("documents", "why"), LAX.values(), ids=LAX)
def test_a_policy_that_would_stop_nobody_is_refused_each_time(
    server: Server, documents: list[dict[str, Any]], why: str
) -> None:
    api = server.api()
    answers(server, *documents, *documents)

    for _ in range(2):
        with pytest.raises(BadInputError, match=why):
            checks.check_policies(api, ("p",))


def test_a_policy_that_we_may_not_see_counts_as_missing(server: Server) -> None:
    answers(server, FORBIDDEN, code=403)

    assert checks.why_not_in_force(server.api(), "p") == "we may not see whether it is there"


def test_a_queue_that_is_not_there_is_refused_and_one_that_is_there_is_believed(
    server: Server,
) -> None:
    api = server.api()
    answers(server, {"message": "not found"}, code=404)
    answers(server, {"metadata": {"name": "training"}})

    with pytest.raises(BadInputError, match="no such LocalQueue"):
        checks.check_queue(api, "n", "training")
    checks.check_queue(api, "n", "training")
    checks.check_queue(api, "n", "training")

    assert len(server.state.requests) == 2


@pytest.mark.parametrize("ahead_s", [-31, 31])
def test_clocks_that_disagree_stop_every_start(server: Server, ahead_s: float) -> None:
    api = server.api()
    api.skew = timedelta(seconds=ahead_s)

    with pytest.raises(BadInputError, match="clock"):
        checks.check_clock(api)


def test_clocks_that_differ_by_seconds_are_well_enough(server: Server) -> None:
    api = server.api()
    api.skew = timedelta(seconds=29)

    checks.check_clock(api)
