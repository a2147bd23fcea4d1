"""Prefect's deployments: how a flow has itself started again later, and sees whether it will be."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any, ClassVar
from uuid import UUID

import httpx
from prefect.blocks.core import Block
from prefect.client.orchestration import get_client
from prefect.deployments import run_deployment
from prefect.exceptions import ObjectNotFound
from pydantic import Field, HttpUrl

from lowtide.ask import TrainAsk
from lowtide.errors import BadInputError, UnavailableError


class Scheduler(Block):
    """Starts the train deployment at a given time.

    Examples:
        Load a saved scheduler:
        ```python
        from blocks.scheduler import Scheduler

        scheduler = Scheduler.load("BLOCK_NAME")
        ```
    """

    _block_type_slug: ClassVar[str | None] = "lowtide-scheduler"
    _block_type_name: ClassVar[str | None] = "Lowtide Scheduler"
    _description: ClassVar[str | None] = "Has a deferred run started again when its time has come."
    _documentation_url: ClassVar[HttpUrl | None] = HttpUrl(
        "https://example.invalid/lowtide/blocks"
    )

    deployment: str = Field(
        default="train/train", description="The deployment that trains, as in flow/deployment."
    )

    def schedule(self, ask: TrainAsk, *, at: datetime, key: str) -> str | None:
        """Have the deployment run an ask at a time; the same key twice schedules once.

        Args:
            ask: What to run; its key names the run to go on with.
            at: When.
            key: Idempotency key.

        Returns:
            Id of the scheduled flow run; None when there is no such deployment.

        Raises:
            UnavailableError: Prefect does not answer.
        """
        try:
            flow_run: Any = run_deployment(
                self.deployment,
                parameters={"ask": ask.model_dump(mode="json")},
                scheduled_time=at,
                timeout=0,
                as_subflow=False,
                idempotency_key=key,
                work_queue_name=ask.job.priority.value,
            )
        except ObjectNotFound:
            return None
        except httpx.HTTPError as error:
            raise _silent(error) from error
        return str(flow_run.id)

    def is_coming(self, flow_run: str) -> bool:
        """Say whether a scheduled flow run is still to come, or under way.

        Args:
            flow_run: Its id.

        Returns:
            False when it was deleted, cancelled, or has ended.

        Raises:
            UnavailableError: Prefect does not answer.
        """
        try:
            with get_client(sync_client=True) as client:
                state = client.read_flow_run(UUID(flow_run)).state
        except ObjectNotFound:
            return False
        except httpx.HTTPError as error:
            raise _silent(error) from error
        return state is not None and not (state.is_final() or state.is_cancelling())

    def answer(self, flow_run: str, fields: Mapping[str, Any]) -> bool:
        """Answer the form that a suspended flow run waits with, as Prefect's UI does.

        A server that is busy says 503, and is asked again. A second answer changes nothing: the
        first one counts.

        Args:
            flow_run: Its id.
            fields: The form's fields.

        Returns:
            Whether the answer was taken: False where the flow run does not wait for one, or the
            fields do not pass the form's schema.

        Raises:
            BadInputError: there is no such flow run.
            UnavailableError: Prefect does not answer.
        """
        try:
            # Prefect's client asks again, up to five times, where the server says 503: it is busy.
            with get_client(sync_client=True) as client:
                taken = client.resume_flow_run(UUID(flow_run), dict(fields))
        except httpx.HTTPStatusError as error:
            if error.response.status_code != _HTTP_NOT_FOUND:
                raise _silent(error) from error
            msg = "there is no such flow run"
            remedy = "`lowtide jobs show RUN` names it"
            raise BadInputError(msg, where=flow_run, remedy=remedy) from None
        except httpx.HTTPError as error:
            raise _silent(error) from error
        return taken.status.value == "ACCEPT"


_HTTP_NOT_FOUND = 404


def _silent(error: Exception) -> UnavailableError:
    msg = f"Prefect does not answer: {error or type(error).__name__}"
    return UnavailableError(msg, where="Prefect", remedy="see `lowtide status`")
