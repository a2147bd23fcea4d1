import json
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given, strategies as st

from lowtide.compare import Comparison, compare_configs
from lowtide.configs import CONFIGS_MAX, configs_schema, parse_configs
from lowtide.errors import BadInputError
from lowtide.forecast import PastRun
from lowtide.job import TrainingJob, parse_job
from lowtide.verdict import Refused
from tests.effort import at_most
from tests.lowtide.books import book

NOON = datetime(2026, 11, 23, 12, tzinfo=UTC)


def job(**changes: Any) -> TrainingJob:
    return parse_job(
        {"name": "llm", "command": ["train"], "epochs": 10, "expected_epoch_s": 3600, **changes}
    )


def compared(
    configs: list[dict[str, Any]], *, of: TrainingJob | None = None, **more: Any
) -> Comparison:
    result = compare_configs(of or job(), parse_configs(configs), book=book(), now=NOON, **more)
    assert isinstance(result, Comparison)
    return result


def test_two_configurations_of_the_specification() -> None:
    result = compared([{"epochs": 2, "batch_size": 64}, {"epochs": 2, "batch_size": 128}])

    first, second = result.rows
    assert first.time_s is not None
    assert first.time_s.p50 == 7200
    assert first.cost_usd is not None
    assert first.cost_usd.p50 == Decimal("0.50")
    assert first.reason is None
    assert second.time_s is not None
    assert second.time_s.p50 == pytest.approx(6000)
    assert "assumes" in (second.reason or "")


def test_what_a_configuration_leaves_out_is_the_jobs() -> None:
    row = compared([{}]).rows[0]

    assert row.time_s is not None
    assert row.time_s.p50 == 36_000
    assert row.document()["config"] == {}


def test_times_come_from_a_line_through_past_runs() -> None:
    past = [PastRun(epoch_s=(90.0,), batch_size=32), PastRun(epoch_s=(60.0,), batch_size=64)]

    result = compared([{"epochs": 1, "batch_size": 128}], history=past)

    time_s = result.rows[0].time_s
    assert time_s is not None
    assert time_s.p50 == pytest.approx(45)


def test_spot_and_priority_change_the_price_and_not_the_time() -> None:
    result = compared(
        [{"epochs": 4}, {"epochs": 4, "capacity": "spot"}, {"epochs": 4, "priority": "urgent"}]
    )

    costs = [row.cost_usd.p50 for row in result.rows if row.cost_usd is not None]
    assert costs == [Decimal("1.00"), Decimal("0.30"), Decimal("1.50")]
    assert len({row.time_s for row in result.rows}) == 1


def test_the_dearer_of_two_equals_is_not_on_the_front() -> None:
    result = compared([{"epochs": 4}, {"epochs": 4, "capacity": "spot"}, {"epochs": 2}])

    assert [row.pareto for row in result.rows] == [False, True, True]
    assert result.goodness_by == "epochs"


def test_with_known_metrics_training_longer_for_nothing_is_beaten() -> None:
    past = [PastRun(epoch_s=(60.0,) * 4, batch_size=64, values=(0.7, 0.9, 0.9, 0.88))]

    result = compared([{"epochs": 1}, {"epochs": 2}, {"epochs": 4}], history=past)

    assert result.goodness_by == "metric"
    assert [row.metric.p50 for row in result.rows if row.metric] == [0.7, 0.9, 0.9]
    assert [row.pareto for row in result.rows] == [True, True, False]


def test_where_less_is_better_the_least_metric_is_best() -> None:
    past = [PastRun(epoch_s=(60.0,) * 2, values=(3.0, 2.0))]
    minimized = job(metric={"name": "loss", "goal": "minimize"})

    result = compared([{"epochs": 1}, {"epochs": 2}], of=minimized, history=past)

    assert [row.metric.p50 for row in result.rows if row.metric] == [3.0, 2.0]
    assert [row.pareto for row in result.rows] == [True, True]


def test_a_metric_that_no_past_run_tells_is_not_made_up() -> None:
    past = [
        PastRun(epoch_s=(60.0,) * 2, batch_size=64, values=(0.7, None)),
        PastRun(epoch_s=(60.0,), batch_size=32, values=(None,)),
        PastRun(epoch_s=(60.0,), same_job=False, values=(0.99,)),
    ]

    result = compared(
        [{"epochs": 2}, {"epochs": 3}, {"epochs": 1, "batch_size": 32}, {"batch_size": 256}],
        history=past,
    )

    assert [row.metric is None for row in result.rows] == [False, True, True, True]
    assert result.goodness_by == "epochs"


def test_what_cannot_be_run_says_why_and_is_on_no_front() -> None:
    soon = (NOON + timedelta(hours=5)).isoformat()
    asked = job(deadline=soon, budget={"name": "a", "max_usd": "0.80"})

    result = compared(
        [
            {"epochs": 1},
            {"epochs": 3},
            {"epochs": 4, "capacity": "spot"},
            {"epochs": 1, "flavor": "a100"},
        ],
        of=asked,
    )

    assert [row.feasible for row in result.rows] == [True, False, False, False]
    reasons = [row.reason or "" for row in result.rows]
    assert reasons[1] == "its hold of $1.13 is more than $0.80"
    assert reasons[2] == "it may end 1:00:00 after the deadline"
    assert "on 'a100' is not known" in reasons[3]
    assert [row.pareto for row in result.rows] == [True, False, False, False]


def test_a_budget_of_its_own_wins_over_the_jobs() -> None:
    asked = job(budget={"name": "a", "max_usd": "0.01"})

    assert compared([{"epochs": 1}], of=asked, budget_usd=Decimal(1)).rows[0].feasible


def test_where_spot_is_not_offered_its_row_says_so() -> None:
    result = compare_configs(
        job(), parse_configs([{"capacity": "spot"}]), book=book(spot=None), now=NOON
    )

    assert isinstance(result, Comparison)
    assert not result.rows[0].feasible
    assert "spot" in (result.rows[0].reason or "")
    assert result.rows[0].cost_usd is None


def test_nothing_feasible_leaves_an_empty_front() -> None:
    result = compared([{"epochs": 1}], budget_usd=Decimal("0.001"))

    assert not any(row.pareto for row in result.rows)


def test_a_job_of_unknown_length_is_refused() -> None:
    result = compare_configs(
        job(expected_epoch_s=None), parse_configs([{"epochs": 2}]), book=book(), now=NOON
    )

    assert isinstance(result, Refused)


def test_the_document_has_the_contracts_keys_and_is_json() -> None:
    document = compared([{"epochs": 2}, {"flavor": "a100"}]).document()

    assert json.loads(json.dumps(document, allow_nan=False)) == document
    contract = "index config time_s cost_usd metric pareto feasible reason"
    for row in document["configs"]:
        assert set(contract.split()) == set(row)
    assert document["configs"][1]["time_s"] is None
    assert document["configs"][1]["reason"]


@at_most(50)
@given(
    configs=st.lists(
        st.fixed_dictionaries(
            {
                "epochs": st.integers(1, 5),
                "batch_size": st.sampled_from([16, 32, 64]),
                "capacity": st.sampled_from(["on-demand", "spot"]),
            }
        ),
        min_size=1,
        max_size=12,
    )
)
def test_the_front_is_what_nothing_beats_and_never_empty(configs: list[dict[str, Any]]) -> None:
    rows = compared(configs).rows

    figures = [
        (row.time_s.p50, row.cost_usd.p50, -row.epochs)
        for row in rows
        if row.time_s is not None and row.cost_usd is not None
    ]
    for row, mine in zip(rows, figures, strict=True):
        beaten = any(
            all(a <= b for a, b in zip(other, mine, strict=True)) and other != mine
            for other in figures
        )
        assert row.pareto == (not beaten)
    assert any(row.pareto for row in rows)


BAD: dict[str, tuple[object, str]] = {
    "an empty list": ([], "got 0 configurations"),
    "too many": ([{"epochs": 2}] * (CONFIGS_MAX + 1), "got 1001 configurations"),
    "no list": ({"epochs": 2}, "got a dict"),
    "nothing": (None, "got a NoneType"),
    "bytes": (b"[]", "got a bytes"),
    "an unknown key": ([{"epochs": 2}, {"epoch": 2}], r"configs: 1: epoch: unknown key"),
    "a zero batch size": ([{"batch_size": 0}], r"configs: 0: batch_size: .* got 0"),
    "a batch size that is true": ([{"batch_size": True}], "not true or false"),
    "a fraction of an epoch": ([{"epochs": 1.5}], "configs: 0: epochs"),
    "an unknown capacity": ([{"capacity": "cheap"}], "configs: 0: capacity"),
    "an entry that is no mapping": ([3], "configs: 0: a configuration is a mapping"),
    "text that is no JSON": ("[{", "configs: the configurations are not JSON"),
    "text nested without end": ("[" * 100_000, "configs: the configurations are not JSON"),
    "text that holds no list": ('"a"', "got a str"),
    "a number that is none": ('[{"epochs": NaN}]', "configs: 0: epochs"),
}


@pytest.mark.parametrize(("document", "message"), BAD.values(), ids=BAD.keys())
def test_a_bad_list_is_one_clear_message(document: object, message: str) -> None:
    with pytest.raises(BadInputError, match=message):
        parse_configs(document)


def test_a_thousand_configurations_are_not_too_many() -> None:
    assert len(parse_configs(json.dumps([{"epochs": 2}] * CONFIGS_MAX))) == CONFIGS_MAX


def test_the_schema_names_the_keys_and_the_most() -> None:
    schema = configs_schema()

    assert schema["maxItems"] == CONFIGS_MAX
    assert set(schema["items"]["properties"]) == {
        "epochs", "batch_size", "flavor", "capacity", "priority",
    }  # fmt: skip
