"""The sweep flow: many configurations of one job under one budget, in one process."""

from contextlib import closing
from typing import Any

from prefect import Flow, flow
from prefect.client.schemas.objects import FlowRun, State
from prefect.runtime import flow_run
from prefect.states import Cancelled, Completed

from blocks.settings import Settings
from blocks.world import World, open_world
from flows.form import asked_in_a_form
from lowtide.sweep import SweepAsk
from lowtide.verdict import Refused
from tasks.claim import Attached
from tasks.compare_trials import compare_trials
from tasks.sweep import run_trials, sweep_id
from tasks.unwatched import stop_and_settle


def _name() -> str:
    ask: Any = flow_run.parameters["ask"]
    asked = SweepAsk.model_validate(ask)
    return f"{asked.job.name}, {len(asked.configs)} configurations"


def _end_its_trials(flow: Flow[..., Any], flow_run: FlowRun, state: State[Any]) -> None:
    _ = flow, state
    with closing(open_world(Settings())) as world:
        stop_and_settle(world, flow_run=str(flow_run.id))


@asked_in_a_form
@flow(name="sweep", flow_run_name=_name, on_cancellation=[_end_its_trials], persist_result=False)
def sweep(ask: SweepAsk, world: World | None = None) -> State[Any]:
    """Try many configurations of one job within one sum of money.

    A trial is a run of the ledger with its own hold and legs, and no flow or task run. Killed and
    run again under the same key, the sweep finds its trials and goes on.

    Args:
        ask: What is asked for.
        world: The outside world; None: the one that the settings describe.

    Returns:
        Completed with the results, the best first; `Cancelled` named Refused where the money of
        all was to be held at once and is not there.
    """
    key = ask.key or f"flow-run:{flow_run.id}"
    with closing(world or open_world(Settings())) as opened:
        results = run_trials(opened, ask, key=key, flow_run=str(flow_run.id))
        if isinstance(results, Attached):
            message = f"sweep {sweep_id(key)} is owned by {results.owner}; nothing was touched"
            return Completed(name="Attached", message=message)
        if isinstance(results, Refused):
            return Cancelled(name="Refused", message=f"{results.message}; {results.remedy}")
        message = compare_trials(ask, results, sweep=sweep_id(key))
        return Completed(message=message, data=[result.document() for result in results])
