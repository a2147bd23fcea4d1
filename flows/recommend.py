"""The recommend flow: what would have made a finished run cheaper, also one of somebody else's.

A run that lowtide submitted has its recommendations already, from the end of its own flow. This one
answers for any MLflow run: from a schedule, an automation, or a person in the UI.
"""

from contextlib import closing
from typing import Any

from prefect import flow
from prefect.client.schemas.objects import State
from prefect.runtime import flow_run
from prefect.states import Completed, Failed
from pydantic import Field

from blocks.settings import Settings
from blocks.world import World, open_world
from flows.form import asked_in_a_form
from lowtide.documents import Part
from lowtide.errors import LowtideError
from lowtide.job import TrainingJob
from lowtide.money import show_usd
from tasks.recommend import advise_run


class RecommendAsk(Part):
    """Which run is asked about."""

    run: str = Field(
        min_length=1,
        max_length=500,
        title="Run",
        description="A run's id, a job's name (its newest run), or the id of any MLflow run.",
    )
    job: TrainingJob | None = Field(
        default=None,
        title="Job",
        description="What an MLflow run is a run of, where lowtide did not submit it.",
    )


def _name() -> str:
    ask: Any = flow_run.parameters["ask"]
    return f"recommend {RecommendAsk.model_validate(ask).run}"


@asked_in_a_form
@flow(name="recommend", flow_run_name=_name, persist_result=False)
def recommend(ask: RecommendAsk, world: World | None = None) -> State[Any]:
    """Say what would have made a run cheaper, in an artifact and as a document.

    Args:
        ask: Which run. Where lowtide did not submit it and no job is given, what it logged tells
            some of it, and the rest is assumed and said to be.
        world: The outside world; None: the one that the settings describe.

    Returns:
        Completed with the `recommend` document, or Failed with the sentence that says why not.
    """
    with closing(world or open_world(Settings())) as opened:
        try:
            advice = advise_run(opened, ask.run, job=ask.job)
        except LowtideError as error:
            return Failed(message=str(error))
    saved = show_usd(advice.combined_saving_usd.p50)
    count = len(advice.recommendations)
    message = f"{advice.run}: {count} recommendations, {saved} together, an estimate"
    return Completed(message=message, data=advice.document())
