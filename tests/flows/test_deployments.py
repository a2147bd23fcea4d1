"""The deployments: declared once, registered for real, each run through the API."""

import asyncio
import time
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from importlib import import_module
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest
import yaml
from jsonschema import Draft202012Validator
from prefect import Flow
from prefect.cli.deploy._models import PrefectYamlModel
from prefect.client.orchestration import SyncPrefectClient
from prefect.client.schemas.filters import DeploymentFilter, DeploymentFilterId
from prefect.client.schemas.objects import FlowRun
from prefect.server.schemas.schedules import CronSchedule
from prefect.utilities.callables import parameter_schema

from apps.books import prepare_ledger
from blocks.events import Events
from blocks.ledger import Books
from blocks.prefect_setup import (
    BUDGET_CLOSE,
    QUEUES,
    WORK_POOL,
    ensure_automations,
    ensure_pool,
)
from blocks.price_books import book_at
from blocks.settings import Settings
from lowtide.announcements import Announcement, about_crossing
from lowtide.identity import run_id
from lowtide.job import TrainingJob
from lowtide.ledger.states import Crossing, ThresholdOf
from lowtide.legs import Capacity
from lowtide.prices import Demand, segments
from tests.flows.deployed import start
from tests.flows.jobs import digits

PROJECT = Path(__file__).parents[2]
DECLARED: dict[str, Any] = yaml.safe_load((PROJECT / "prefect.yaml").read_text(encoding="utf-8"))
DEPLOYMENTS: list[dict[str, Any]] = DECLARED["deployments"]
NAMES = [deployment["name"] for deployment in DEPLOYMENTS]


def flow_of(deployment: dict[str, Any]) -> Flow[..., Any]:
    module, _, name = deployment["entrypoint"].rpartition(".")
    found: Flow[..., Any] = getattr(import_module(module), name)
    return found


def schema_of(deployment: dict[str, Any]) -> dict[str, Any]:
    return parameter_schema(flow_of(deployment)).model_dump()


def test_the_file_is_what_prefect_reads_it_as() -> None:
    read = PrefectYamlModel.model_validate(DECLARED)

    assert [deployment.name for deployment in read.deployments] == NAMES
    for deployment in read.deployments:
        assert deployment.description
        assert deployment.enforce_parameter_schema
        assert deployment.tags == ["lowtide"]
        assert deployment.work_pool is not None
        assert deployment.work_pool.work_queue_name in {priority.value for priority in QUEUES}


@pytest.mark.parametrize("deployment", DEPLOYMENTS, ids=NAMES)
def test_a_deployments_own_parameters_pass_the_schema_that_its_flow_has(
    deployment: dict[str, Any],
) -> None:
    schema = schema_of(deployment)
    given = deployment.get("parameters", {})

    validator: Any = Draft202012Validator(schema)
    validator.validate(given)
    flow_of(deployment).validate_parameters(given)
    assert set(schema["required"]) <= set(given)


@pytest.mark.parametrize("deployment", DEPLOYMENTS, ids=NAMES)
def test_the_run_form_is_one_parameter_with_a_title_and_a_sentence_for_every_field(
    deployment: dict[str, Any],
) -> None:
    schema = schema_of(deployment)

    assert list(schema["properties"]) in (["ask"], [])
    lacking = [
        f"{model}.{name}: {key}"
        for model, definition in schema["definitions"].items()
        for name, field in definition.get("properties", {}).items()
        for key in ("title", "description")
        if not {**_referred(schema, field), **field}.get(key)
    ]
    assert lacking == []


def _referred(schema: dict[str, Any], field: dict[str, Any]) -> dict[str, Any]:
    """What a field refers to: an enum or a part has its own title."""
    name = field.get("$ref", "").removeprefix("#/definitions/")
    found: dict[str, Any] = schema["definitions"].get(name, {})
    return found


def test_every_number_in_the_train_form_has_bounds_and_every_choice_is_an_enum() -> None:
    schema = schema_of(DEPLOYMENTS[0])
    fields = {
        f"{model}.{name}": field
        for model, definition in schema["definitions"].items()
        for name, field in definition.get("properties", {}).items()
    }
    unbounded = [name for name, field in fields.items() if not _bounded(field)]

    # A metric's target may be any number.
    assert unbounded == ["EarlyStopping.target", "Metric.target"]
    for choice in ("Priority", "Where", "CapacityAsk", "PolicyName", "OnRefusal"):
        assert schema["definitions"][choice]["enum"]


def _bounded(field: dict[str, Any]) -> bool:
    branches = [field, *field.get("anyOf", [])]
    numbers = [each for each in branches if each.get("type") in {"number", "integer"}]
    bounds = {"minimum", "exclusiveMinimum", "gt", "ge"}
    return not numbers or any(bounds & each.keys() for each in [field, *numbers])


NIGHTLY = next(each for each in DEPLOYMENTS if each["name"] == "train-nightly")
ZONES = ["Europe/Berlin", "America/New_York", "Australia/Lord_Howe"]
# The days before the clock changes of spring and autumn, in any of these zones.
CHANGES = [
    datetime(2027, 3, 12, tzinfo=UTC),
    datetime(2027, 3, 26, tzinfo=UTC),
    datetime(2027, 4, 2, tzinfo=UTC),
    datetime(2027, 10, 1, tzinfo=UTC),
    datetime(2027, 10, 29, tzinfo=UTC),
    datetime(2027, 11, 5, tzinfo=UTC),
]


async def five_nights(zone: str, start: datetime) -> list[datetime]:
    [schedule] = NIGHTLY["schedules"]
    cron = CronSchedule(cron=schedule["cron"], timezone=zone)
    return [at.astimezone(ZoneInfo(zone)) for at in await cron.get_dates(5, start=start)]


@pytest.mark.parametrize("zone", ZONES)
@pytest.mark.parametrize("start", CHANGES, ids=lambda start: f"{start:%Y-%m-%d}")
def test_the_nightly_run_starts_at_the_same_local_time_each_night_across_clock_changes(
    zone: str, start: datetime
) -> None:
    nights = asyncio.run(five_nights(zone, start))

    assert [f"{night:%H:%M}" for night in nights] == ["22:05"] * 5
    days = [night.date() for night in nights]
    assert days == [days[0] + timedelta(days=n) for n in range(5)]


def test_the_nightly_run_starts_in_the_off_peak_window_of_the_shipped_price_book() -> None:
    [schedule] = NIGHTLY["schedules"]
    job = TrainingJob.model_validate(NIGHTLY["parameters"]["ask"]["job"])
    minute, hour, *_ = schedule["cron"].split()
    zone = ZoneInfo(schedule["timezone"])
    at = datetime(2026, 11, 23, int(hour), int(minute), tzinfo=zone).astimezone(UTC)

    demand = Demand.of(job, Capacity.ON_DEMAND)
    book = book_at("specification")
    [part] = segments(book, demand, start=at, end=at + timedelta(minutes=1))

    assert part.window == "off-peak"
    assert job.policy.value == "off-peak"


def test_the_kubernetes_file_declares_the_same_deployments_on_another_pool() -> None:
    path = PROJECT / "infra" / "prefect" / "kubernetes.yaml"
    there: dict[str, Any] = yaml.safe_load(path.read_text(encoding="utf-8"))

    def without_pool(deployment: dict[str, Any]) -> dict[str, Any]:
        return {key: value for key, value in deployment.items() if key != "work_pool"}

    pools = [deployment["work_pool"] for deployment in there["deployments"]]
    assert [pool["work_queue_name"] for pool in pools] == [
        deployment["work_pool"]["work_queue_name"] for deployment in DEPLOYMENTS
    ]
    assert {pool["name"] for pool in pools} == {"lowtide-kubernetes"}
    declared = [where_kubernetes(without_pool(each)) for each in DEPLOYMENTS]
    assert [without_pool(each) for each in there["deployments"]] == declared


def where_kubernetes(deployment: dict[str, Any]) -> dict[str, Any]:
    """Return a deployment whose job runs in the cluster, from the digits image."""
    ask = deployment.get("parameters", {}).get("ask", {})
    if "job" not in ask:
        return deployment
    job = {**ask["job"], "where": "kubernetes", "image": "lowtide/digits"}
    return {**deployment, "parameters": {"ask": {**ask, "job": job}}}


# What follows needs the servers.


@pytest.fixture(autouse=True)
def _ledger(request: pytest.FixtureRequest) -> None:
    """The stack's ledger has its tables, as `lowtide up` leaves it."""
    if "stack" in request.fixturenames:
        prepare_ledger(request.getfixturevalue("stack"), say=print).close()


@pytest.mark.stack
def test_registering_again_changes_nothing(client: SyncPrefectClient) -> None:
    def known() -> list[Any]:
        queues = client.read_work_queues(work_pool_name=WORK_POOL)
        automations = client.read_automations()
        return [
            client.read_work_pool(WORK_POOL).updated,
            sorted((queue.name, queue.priority, queue.id) for queue in queues),
            sorted((each.name, each.id, each.model_dump_json()) for each in automations),
        ]

    before = known()
    ensure_pool(client)
    ensure_automations(client)

    assert known() == before
    ranks = {queue.name: queue.priority for queue in client.read_work_queues(WORK_POOL)}
    assert ranks == {"urgent": 1, "normal": 2, "background": 3, "default": 4}
    assert client.read_work_pool(WORK_POOL).concurrency_limit == 3


TINY = digits(epochs=2, params={"copies": 1, "hidden": 16}, budget={"name": "default"})
ASKS: dict[str, dict[str, Any]] = {
    "train": {"job": TINY.document()},
    "train-nightly": {"job": {**TINY.document(), "name": "tiny-nightly", "policy": "off-peak"}},
    "sweep": {
        "job": TINY.document(),
        "configs": [{"params": {"hidden": 8}}, {"params": {"hidden": 16}}],
        "max_usd": "0.05",
    },
    "reconcile": {"adopt": False},
    "budget-close": {"budget": "research/vision"},
    "report-weekly": {"by": "job"},
}


@pytest.mark.stack
@pytest.mark.slow
@pytest.mark.timeout(540)
def test_every_deployment_runs_when_it_is_started_through_the_api(
    client: SyncPrefectClient, stack: Settings
) -> None:
    key = f"deployed-{time.time_ns()}"
    started: dict[str, FlowRun] = {}
    for name, asked in ASKS.items():
        ask = dict(asked)
        if "job" in ask:
            ask["key"] = f"{name}-{key}"
        started[name] = started_by_name(name, ask, key=key)
    ended = {name: ended_run(client, made) for name, made in started.items()}
    # Only now there is a run to recommend something for.
    advised = started_by_name("recommend", {"run": run_id(f"train-{key}")}, key=key)
    ended["recommend"] = ended_run(client, advised)

    assert set(ended) == set(NAMES)
    states = {name: str(run.state_name) for name, run in ended.items()}
    assert states.pop("train-nightly") in {"Completed", "Deferred"}
    assert set(states.values()) == {"Completed"}, states
    books = Books(url=stack.ledger_address)
    row = books.run(run_id(f"train-{key}"))
    books.close()
    assert row is not None
    assert row.state.value == "completed"
    swept = artifacts(client, ended["sweep"])
    # Each trial has a forecast of its own; the sweep has one table, and keeps it up to date.
    tables = [key for key, kind in swept.items() if kind == "table" and key.startswith("s-")]
    assert len(tables) == 1
    assert "markdown" in swept.values()
    assert {"progress", "table", "markdown"} <= {*artifacts(client, ended["train"]).values()}


def started_by_name(name: str, ask: dict[str, Any], *, key: str) -> FlowRun:
    [deployment] = [each for each in DEPLOYMENTS if each["name"] == name]
    return start(f"{flow_of(deployment).name}/{name}", ask, key=f"{name}-{key}")


def ended_run(client: SyncPrefectClient, made: FlowRun) -> FlowRun:
    give_up = time.monotonic() + 480
    while time.monotonic() < give_up:
        run = client.read_flow_run(made.id)
        if run.state is not None and run.state.is_final():
            return run
        time.sleep(0.5)
    pytest.fail(f"flow run {made.name} did not end: {client.read_flow_run(made.id).state}")


def artifacts(client: SyncPrefectClient, run: FlowRun) -> dict[str, str]:
    """Return the kinds of a run's artifacts by key; the versions of one are one artifact."""
    found = client.request(
        "POST",
        "/artifacts/filter",
        json={"artifacts": {"flow_run_id": {"any_": [str(run.id)]}}},
    ).json()
    return {str(each["key"] or each["id"]): str(each["type"]) for each in found}


@pytest.mark.stack
@pytest.mark.slow
@pytest.mark.timeout(540)
def test_the_documented_example_runs_as_it_is_written(
    stack: Settings, client: SyncPrefectClient
) -> None:
    text = (PROJECT / "docs" / "prefect.md").read_text(encoding="utf-8")
    example = text.split("```python\n")[1].split("```")[0]
    key = f"documented-{time.time_ns()}"
    assert example.count("a name of your own: the same key is the same run") == 1
    example = example.replace("a name of your own: the same key is the same run", key)
    names: dict[str, Any] = {}

    exec(compile(example, "docs/prefect.md", "exec"), names)  # noqa: S102 - our own document

    books = Books(url=stack.ledger_address)
    row = books.run(run_id(key))
    books.close()
    assert row is not None
    assert row.state.value == "completed"
    assert client.read_flow_run(names["flow_run"].id).state_name == "Completed"


@pytest.mark.stack
@pytest.mark.timeout(300)
def test_a_spent_budget_is_closed_once_however_often_it_is_told(
    client: SyncPrefectClient,
) -> None:
    first, second = (f"spent-{time.time_ns()}-{number}" for number in (1, 2))
    events = Events()
    for budget in (first, first, second):
        events.emit(spent(budget))

    # Events are worked off one by one: when both have their flow run, the doubled one is done too.
    give_up = time.monotonic() + 240
    while time.monotonic() < give_up:
        if closings(client, first) and closings(client, second):
            break
        time.sleep(1)

    assert len(closings(client, second)) == 1
    assert len(closings(client, first)) == 1


def spent(budget: str) -> Announcement:
    now = datetime.now(UTC)
    return about_crossing(
        Crossing(
            budget=budget,
            period_start=now.replace(day=1, hour=0, minute=0, second=0, microsecond=0),
            percent=100,
            of=ThresholdOf.CHARGED,
            at=now,
            amount_usd=Decimal(1),
            limit_usd=Decimal(1),
        )
    )


def closings(client: SyncPrefectClient, budget: str) -> list[FlowRun]:
    deployment = client.read_deployment_by_name(BUDGET_CLOSE)
    of_it = DeploymentFilter(id=DeploymentFilterId(any_=[deployment.id]))
    runs = client.read_flow_runs(deployment_filter=of_it)
    return [run for run in runs if run.parameters == {"ask": {"budget": budget}}]
