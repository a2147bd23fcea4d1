"""The tools that agents have, typed, over the same calls as the command line.

Every door that speaks for somebody else (the MCP server, the agent, the REPL) takes its tools from
`TOOLS` and calls them through `answer`: parameters are checked against one model, the answer's
document is the one that the command prints with `--json`, and whatever goes wrong is an answer too.
A tool that spends answers with a `Spending` first: checked and priced, not started.
"""

from collections.abc import Mapping
from typing import Annotated, Literal, TypeAlias

from pydantic import (
    BeforeValidator,
    Field,
    ValidationError,
    WithJsonSchema,
)

from apps import output, texts
from apps.files import job_path
from apps.questions import advice_on, check_budget, compare_texts
from apps.shapes import (
    CheckDocument,
    CompareDocument,
    ForecastDocument,
    QuotaDocument,
    RecommendDocument,
    ReportDocument,
    TrainDocument,
)
from apps.tool import Answer, Tool, failed, refused
from apps.trainings import Spending, prepare_training
from blocks.settings import Settings
from lowtide.documents import Amount, explain, number_from_yaml
from lowtide.errors import BadInputError
from lowtide.report import document as report_document
from lowtide.verdict import Refused

_USD_MAX = 1_000_000_000
_TEXT_MAX = 200
_CONFIGS_TEXT_MAX = 200_000

Usd: TypeAlias = Annotated[
    Amount,
    Field(gt=0, le=_USD_MAX),
    WithJsonSchema({"type": "number", "exclusiveMinimum": 0, "maximum": _USD_MAX}),
]
# The bounds come before the check for `true`, so that they reach the JSON Schema.
_Number = BeforeValidator(number_from_yaml)
Epochs: TypeAlias = Annotated[int, Field(ge=1, le=1_000_000), _Number]
EpochsLeft: TypeAlias = Annotated[int, Field(ge=0, le=1_000_000), _Number]
BatchSize: TypeAlias = Annotated[int, Field(ge=1, le=10_000_000), _Number]
Jobs: TypeAlias = Annotated[int, Field(ge=1, le=100_000), _Number]
JobName: TypeAlias = Annotated[str, Field(min_length=1, max_length=_TEXT_MAX)]


def check_training_budget(
    budget_usd: Annotated[Usd, Field(description="What there is, US dollars.")],
    epochs: Annotated[Epochs | None, Field(description="Epochs; left out: the job's.")] = None,
    batch_size: Annotated[
        BatchSize | None, Field(description="Samples in one step; left out: the job's.")
    ] = None,
    job: Annotated[
        JobName | None, Field(description="Name of a job; left out: the default job.")
    ] = None,
) -> Answer:
    """Say whether a training fits a budget, by how much not, and what would fit instead.

    Use it before a training is started, and whenever somebody names a sum of money. The forecast
    cost is the middle (p50); the verdict is taken on the hold, the upper forecast that a budget
    must be able to set aside. Each option is priced and says what it changes. US dollars. It
    starts nothing and holds nothing. Refused where the duration or the price is not known.
    """
    found = check_budget(
        _path_of(job), budget=str(budget_usd), epochs=epochs, batch_size=batch_size
    )
    if isinstance(found, Refused):
        return refused(found)
    text = "\n".join(part for part in (texts.check_text(found), texts.options_text(found)) if part)
    return Answer(document=output.document("check", found.document()), text=text)


def forecast_training_cost(
    job_name: Annotated[
        JobName,
        Field(description="Name of a job (its newest run, else its file), or a run's id."),
    ],
    remaining_epochs: Annotated[
        EpochsLeft | None,
        Field(description="Epochs still to train; left out: what is left of the run."),
    ] = None,
) -> Answer:
    """Forecast the time and money that a run, or more epochs of a job, will still take.

    Use it for "how long, how much, will it fit". Seconds and US dollars, each as p10, p50, p90;
    `calibrated` says whether past errors stand behind the range. Refused where nothing is known
    of an epoch's duration.
    """
    from apps.forecasts import forecast_document  # imports Prefect

    found = forecast_document(job_name, remaining_epochs=remaining_epochs)
    if isinstance(found, Refused):
        return refused(found)
    document = output.document("forecast", found)
    return Answer(document=document, text=texts.forecast_text(document, named=job_name))


def recommend_cost_optimization(
    run_id: Annotated[JobName, Field(description="A run's id, or a job's name: its newest run.")],
) -> Answer:
    """Recommend what would have made a finished run cheaper, each with saving, risk and action.

    Use it after a training. Savings are estimates in US dollars, priced on the run itself, with
    the evidence and a confidence; they overlap, so `combined_saving_usd` is not their sum. An
    error says why a run can teach nothing: unknown, unfinished, or MLflow does not answer.
    """
    advice = advice_on(run_id)
    return Answer(
        document=output.document("recommend", advice.document()), text=texts.advice_text(advice)
    )


def get_training_cost_report(
    start_date: Annotated[
        str | None,
        Field(
            max_length=_TEXT_MAX,
            description="First day, as 2026-11-01 (UTC); left out: thirty days up to the last.",
        ),
    ] = None,
    end_date: Annotated[
        str | None,
        Field(max_length=_TEXT_MAX, description="Last day, included (UTC); left out: today."),
    ] = None,
) -> Answer:
    """Report what trainings cost on some days: each run, totals, averages, trend by month.

    Use it for what was spent, never for what will be. US dollars and seconds. A figure that is
    not known is null with a reason. An error says which date is no whole day, as 2026-11-01.
    """
    from apps.reports import costs  # imports what draws tables

    try:
        found = costs(start_date, end_date)
    except BadInputError as error:
        raise _renamed(error, {"--from": "start_date", "--to": "end_date"}) from None
    document = output.document("report", report_document(found))
    return Answer(document=document, text=texts.report_text(found))


def compare_training_configs(
    config_json: Annotated[
        str,
        Field(
            min_length=2,
            max_length=_CONFIGS_TEXT_MAX,
            description=(
                "JSON list of configurations, each with any of epochs, batch_size, flavor, "
                'capacity, priority, as in [{"epochs": 2, "batch_size": 64}].'
            ),
        ),
    ],
    job: Annotated[
        JobName | None, Field(description="Name of a job; left out: the default job.")
    ] = None,
) -> Answer:
    """Compare up to 1,000 configurations of a job by time, cost and expected metric.

    Use it to choose between settings. Seconds and US dollars; `pareto` marks those that nothing
    beats. An error names the entry that cannot be read.
    """
    found = compare_texts(config_json, job=_path_of(job), source="config_json")
    if isinstance(found, Refused):
        return refused(found)
    return Answer(
        document=output.document("compare", found.document()), text=texts.comparison_text(found)
    )


def get_training_quota(
    job: Annotated[
        JobName | None, Field(description="Name of a job; left out: the default job.")
    ] = None,
    jobs: Annotated[
        Jobs | None, Field(description="How many of the job; left out: nothing is asked of it.")
    ] = None,
) -> Answer:
    """Say what the quota has free, and how many of a job would run at once.

    Use it for "can I run ten of these at the same time?": how many start now and for how much, how
    many wait, what all cost in US dollars, when the last is done, and the ways out. Without
    parameters only what is free. Refused where one job alone can never fit.
    """
    from apps.quotas import quota_of, quota_text  # reads the cluster's books

    found = quota_of(_path_of(job), jobs=jobs)
    if isinstance(found, Refused):
        return refused(found)
    return Answer(document=output.document("quota", found.document()), text=quota_text(found))


def trigger_training_job(  # noqa: PLR0917 - a typed line gives the first ones by position
    job: Annotated[
        JobName, Field(description='Name of a job, or one sentence: "NAME with N epochs".')
    ],
    epochs: Annotated[Epochs | None, Field(description="Epochs; left out: the job's.")] = None,
    batch_size: Annotated[
        BatchSize | None, Field(description="Samples in one step; left out: the job's.")
    ] = None,
    capacity: Annotated[
        Literal["on-demand", "spot", "any"] | None, Field(description="On which terms it runs.")
    ] = None,
    policy: Annotated[
        Literal["run-now", "off-peak", "greedy", "uniform-progress", "adaptive"] | None,
        Field(description="Rule that decides when it runs."),
    ] = None,
    priority: Annotated[
        Literal["urgent", "normal", "background"] | None,
        Field(description="Order in the queue; it multiplies the price."),
    ] = None,
    max_usd: Annotated[
        Usd | None, Field(description="The most that this run may cost, US dollars.")
    ] = None,
    key: Annotated[
        str | None,
        Field(
            min_length=1,
            max_length=_TEXT_MAX,
            description="Your own name for this request; the same key twice is the same run.",
        ),
    ] = None,
) -> Spending | Answer:
    """Start a training. It spends money: only when the user asked for this very training.

    The gate holds the upper forecast on every budget above the job first; a training that does
    not fit is refused there and nothing is spent. Without a key, an unfinished run of the very
    same job is gone on with. The answer has the run's id; `forecast_training_cost` follows it.
    """
    found = prepare_training(
        job,
        epochs=epochs,
        batch_size=batch_size,
        capacity=capacity,
        policy=policy,
        priority=priority,
        key=key,
        **{"budget.max_usd": max_usd},
    )
    return refused(found) if isinstance(found, Refused) else found


def _path_of(job: str | None) -> str | None:
    return None if job is None else str(job_path(job, settings=Settings()))


TOOLS: Mapping[str, Tool] = {
    tool.name: tool
    for tool in (
        Tool(call=check_training_budget, output=CheckDocument),
        Tool(call=forecast_training_cost, output=ForecastDocument),
        Tool(call=recommend_cost_optimization, output=RecommendDocument),
        Tool(call=get_training_cost_report, output=ReportDocument),
        Tool(call=compare_training_configs, output=CompareDocument),
        Tool(call=get_training_quota, output=QuotaDocument),
        Tool(call=trigger_training_job, output=TrainDocument, spends=True, words="job"),
    )
}


def ask(name: str, arguments: Mapping[str, object]) -> Answer | Spending:
    """Call a tool; what goes wrong is an answer, never an exception.

    Args:
        name: The tool.
        arguments: Its parameters by name, as they came.

    Returns:
        The answer; for a tool that spends, what would be started, until `start` is called.
    """
    try:
        tool = _tool(name)
        try:
            parsed = tool.arguments.model_validate(dict(arguments))
        except ValidationError as error:
            raise _explained(error, tool) from None
        values = {key: getattr(parsed, key) for key in tool.arguments.model_fields}
        found: Answer | Spending = tool.call(**values)
    except Exception as error:  # noqa: BLE001 - a door shows no traceback
        return failed(error)
    return found


def _tool(name: str) -> Tool:
    tool = TOOLS.get(name)
    if tool is None:
        msg = "there is no such tool"
        known = ", ".join(TOOLS)
        raise BadInputError(msg, expected=f"one of {known}", got=repr(name[:_TEXT_MAX]))
    return tool


def _explained(error: ValidationError, tool: Tool) -> BadInputError:
    found = explain(error, source=tool.name, schema=None)
    if found.remedy == "change the key":
        found.remedy = "correct the parameter"
    if error.errors()[0]["type"] == "extra_forbidden":
        found.message = found.message.replace("unknown key", "unknown parameter")
        found.expected = f"one of {', '.join(tool.arguments.model_fields)}"
    elif error.errors()[0]["type"] == "missing":
        found.message = found.message.replace("the key", "the parameter")
    return found


def _renamed(error: BadInputError, names: Mapping[str, str]) -> BadInputError:
    """Return an error of the command line that speaks of a tool's parameters."""

    def told(text: str | None) -> str | None:
        for option, parameter in names.items():
            text = text and text.replace(option, parameter)
        return text

    return BadInputError(
        str(told(error.message)),
        where=told(error.where),
        expected=told(error.expected),
        got=error.got,
        remedy=told(error.remedy),
    )
