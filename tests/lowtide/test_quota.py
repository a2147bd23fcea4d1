from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from fractions import Fraction

import pytest
from hypothesis import given, strategies as st

from lowtide.errors import BadInputError
from lowtide.forecast.ranges import Range
from lowtide.pools import cluster_queue_pool, queue_places, resource_quota_pool
from lowtide.quantities import parse_exceeded, quantity
from lowtide.quota import (
    Amount,
    Namespace,
    OneJob,
    Pool,
    QuotaAnswer,
    answer_quota,
    tightest,
)
from lowtide.verdict import RefusalReason, Refused
from tests.lowtide.kube import condition, workload

NOW = datetime(2026, 11, 23, 8, 0, tzinfo=UTC)
HOUR_S = 3600.0
FOUR_HOURS = Range(p10=4 * HOUR_S, p50=4 * HOUR_S, p90=4 * HOUR_S)


def flat(_start: datetime, time_s: float) -> Fraction:
    return Fraction(time_s) / 3600 / 4


def pool(name: str = "quota", *, free: int = 2, used: int = 0, queued: int = 0) -> Pool:
    amount = Amount(capacity=Decimal(free + used), used=Decimal(used), queued=Decimal(queued))
    return Pool(name=name, amounts={"gpus": amount})


LLM = OneJob(demand={"gpus": Decimal(1)}, time_s=FOUR_HOURS, price=flat)


def answer(*pools: Pool, one: OneJob = LLM, asked: int = 10) -> QuotaAnswer:
    found = answer_quota(pools, one, asked=asked, now=NOW)
    assert isinstance(found, QuotaAnswer)
    return found


def test_ten_models_at_once_on_two_gpus() -> None:
    found = answer(pool())

    assert (found.asked, found.now, found.waiting, found.short) == (10, 2, 8, "gpus")
    assert (found.cost_usd.p50, found.now_cost_usd.p50) == (Decimal(10), Decimal(2))
    assert found.finish is not None
    assert found.finish.p50 == NOW + timedelta(hours=20)
    assert [way.kind for way in found.ways_out] == ["one-after-another"]


def test_waiting_jobs_are_priced_in_the_hours_in_which_they_would_run() -> None:
    def half_price_at_night(start: datetime, time_s: float) -> Fraction:
        return flat(start, time_s) / (2 if start.hour >= 22 or start.hour < 6 else 1)

    found = answer(pool(), one=replace(LLM, price=half_price_at_night))

    # Five groups from 8:00: the fourth starts at 20:00, the fifth at midnight.
    assert found.ways_out[0].cost_usd is not None
    assert found.ways_out[0].cost_usd.p50 == Decimal(2 * 4 + 1)


def test_when_all_fit_nothing_waits_and_no_way_out_is_needed() -> None:
    found = answer(pool(free=4), asked=3)

    assert (found.now, found.waiting, found.short, found.ways_out) == (3, 0, None, ())


def test_what_is_queued_already_goes_first() -> None:
    found = answer(pool(free=3, queued=2))

    assert found.now == 1


def test_with_nothing_free_nobody_knows_when_it_ends_but_what_it_costs() -> None:
    found = answer(pool(free=0, used=2), asked=2)

    assert (found.now, found.finish) == (0, None)
    assert found.cost_usd.p50 == Decimal(2)


def test_a_job_that_can_never_fit_is_refused_with_another_place_if_there_is_one() -> None:
    four = replace(LLM, demand={"gpus": Decimal(4)})

    found = answer_quota(
        [pool()], four, asked=1, now=NOW, elsewhere=[Namespace(name="spare", fits=1)]
    )

    assert isinstance(found, Refused)
    assert found.reason is RefusalReason.QUOTA
    assert "4 gpus" in found.message
    assert "spare" in found.remedy


def test_jobs_of_several_gpus_are_told_to_ask_for_fewer_and_where_there_is_room() -> None:
    two = replace(LLM, demand={"gpus": Decimal(2)})

    found = answer_quota(
        [pool()], two, asked=3, now=NOW, elsewhere=[Namespace(name="spare", fits=2)]
    )

    assert isinstance(found, QuotaAnswer)
    assert [way.kind for way in found.ways_out] == [
        "one-after-another",
        "fewer-gpus",
        "other-namespace",
    ]


def test_the_number_of_jobs_must_be_one_at_least() -> None:
    with pytest.raises(BadInputError):
        answer_quota([pool()], LLM, asked=0, now=NOW)


@given(
    capacity=st.integers(1, 50),
    used=st.integers(0, 60),
    queued=st.integers(0, 60),
    gpus=st.integers(1, 4),
    asked=st.integers(1, 100),
)
def test_never_more_start_than_fit_and_none_is_lost(
    capacity: int, used: int, queued: int, gpus: int, asked: int
) -> None:
    amount = Amount(capacity=Decimal(capacity), used=Decimal(used), queued=Decimal(queued))
    one = replace(LLM, demand={"gpus": Decimal(gpus)})

    found = answer_quota([Pool(name="q", amounts={"gpus": amount})], one, asked=asked, now=NOW)

    if isinstance(found, Refused):
        assert gpus > capacity
        return
    assert found.now + found.waiting == asked
    assert found.now * gpus <= max(capacity - used - queued, 0)
    # One more would not fit: the answer is no more cautious than it must be.
    assert found.now == asked or (found.now + 1) * gpus > capacity - used - queued


def test_each_resource_is_taken_from_the_pool_that_has_least_of_it() -> None:
    kueue = Pool(
        name="ClusterQueue",
        amounts={
            "gpus": Amount(capacity=Decimal(4), used=Decimal(3)),
            "cpus": Amount(capacity=Decimal(16), used=Decimal(0)),
        },
    )

    rows = {row.name: row.pool for row in tightest([pool(), kueue])}

    assert rows == {"gpus": "ClusterQueue", "cpus": "ClusterQueue"}


QUANTITIES = {
    "2": "2",
    "500m": "0.5",
    "1.5": "1.5",
    "1k": "1000",
    "4Gi": str(4 * 2**30),
    "1Ki": "1024",
    "1e3": "1000",
    "128Mi": str(128 * 2**20),
}


@pytest.mark.parametrize(("text", "number"), QUANTITIES.items())
def test_quantities_are_read_as_kubernetes_means_them(text: str, number: str) -> None:
    assert quantity(text) == Decimal(number)


@pytest.mark.parametrize("text", ["", "two", "4Gb", "1.2.3", "NaN"])
def test_what_is_no_quantity_is_refused(text: str) -> None:
    with pytest.raises(BadInputError):
        quantity(text)


def test_a_refusal_of_several_resources_names_each() -> None:
    found = parse_exceeded(
        'jobs "j" is forbidden: exceeded quota: q, requested: requests.cpu=2,requests.memory=1Gi, '
        "used: requests.cpu=15,requests.memory=32Gi, limited: requests.cpu=16,requests.memory=32Gi"
    )

    assert [(s.resource, s.asked, s.used, s.limit) for s in found] == [
        ("requests.cpu", "2", "15", "16"),
        ("requests.memory", "1Gi", "32Gi", "32Gi"),
    ]


@pytest.mark.parametrize("text", ["", "pods is forbidden", "exceeded quota: q"])
def test_other_refusals_are_no_shortage(text: str) -> None:
    assert parse_exceeded(text) == ()


HARD = {"requests.nvidia.com/gpu": "2", "requests.cpu": "16", "requests.memory": "32Gi"}
USED = {"requests.nvidia.com/gpu": "1", "requests.cpu": "500m", "requests.memory": "1Gi"}


def resource_quota(*terms: dict[str, object], scopes: tuple[str, ...] = ()) -> dict[str, object]:
    return {
        "metadata": {"name": "training"},
        "spec": {"scopeSelector": {"matchExpressions": list(terms)}, "scopes": list(scopes)},
        "status": {"hard": {**HARD, "count/jobs.batch": "9"}, "used": USED},
    }


def test_a_resource_quota_is_read_in_gpus_cores_and_gibibytes() -> None:
    found = resource_quota_pool(resource_quota(), priority="normal")

    assert found is not None
    assert found.name == "ResourceQuota training"
    assert {name: (a.capacity, a.free) for name, a in found.amounts.items()} == {
        "gpus": (Decimal(2), Decimal(1)),
        "cpus": (Decimal(16), Decimal("15.5")),
        "memory_gib": (Decimal(32), Decimal(31)),
    }


def scope(operator: str, *values: str) -> dict[str, object]:
    return {"scopeName": "PriorityClass", "operator": operator, "values": list(values)}


SCOPES = {
    "of this class": (scope("In", "background"), True),
    "of another class": (scope("In", "urgent"), False),
    "of all but this class": (scope("NotIn", "background"), False),
    "of all but another class": (scope("NotIn", "urgent"), True),
    "of any class": (scope("Exists"), True),
    "of something else": ({"scopeName": "Terminating", "operator": "Exists"}, False),
}


@pytest.mark.parametrize(("term", "counts"), SCOPES.values(), ids=SCOPES)
def test_a_quota_counts_for_the_priority_classes_that_it_names(
    term: dict[str, object], counts: bool
) -> None:
    found = resource_quota_pool(resource_quota(term), priority="background")

    assert (found is not None) is counts


def test_a_quota_with_an_old_style_scope_is_not_taken_for_ours() -> None:
    assert resource_quota_pool(resource_quota(scopes=("BestEffort",)), priority="normal") is None


def test_a_cluster_queue_counts_what_it_owns_may_borrow_uses_and_keeps_waiting() -> None:
    document = {
        "metadata": {"name": "training-background"},
        "spec": {
            "resourceGroups": [
                {
                    "flavors": [
                        {
                            "name": "on-demand",
                            "resources": [
                                {
                                    "name": "nvidia.com/gpu",
                                    "nominalQuota": "0",
                                    "borrowingLimit": "1",
                                },
                                {"name": "memory", "nominalQuota": "4Gi"},
                                {"name": "pods", "nominalQuota": "3"},
                                {"name": "cpu", "nominalQuota": "0"},
                            ],
                        }
                    ]
                }
            ]
        },
        "status": {
            "flavorsReservation": [
                {"name": "on-demand", "resources": [{"name": "memory", "total": "1Gi"}]}
            ]
        },
    }

    found = cluster_queue_pool(document, pending=[workload(), workload()])

    amounts = {n: (a.capacity, a.used, a.queued) for n, a in found.amounts.items()}
    assert amounts == {
        "gpus": (Decimal(1), Decimal(0), Decimal(2)),
        "memory_gib": (Decimal(4), Decimal(1), Decimal(2)),
        "jobs": (Decimal(3), Decimal(0), Decimal(2)),
    }


def test_the_queue_s_order_is_priority_then_age_in_each_queue_by_itself() -> None:
    places = queue_places(
        [
            workload(uid="old", created_after_s=0),
            workload(uid="new", created_after_s=9),
            workload(uid="urgent", created_after_s=20, priority=1000),
            workload(condition("QuotaReserved"), uid="admitted"),
            workload(condition("Finished"), uid="done"),
            workload(uid="withdrawn", active=False),
            workload(uid="elsewhere", queue="other"),
        ]
    )

    assert places == {"urgent": 0, "old": 1, "new": 2, "elsewhere": 0}
