"""Prefect's events: how lowtide tells the world what happened, for people and automations."""

import logging
from typing import ClassVar

from prefect.blocks.core import Block
from prefect.events import emit_event
from prefect.exceptions import PrefectException
from prefect.settings import PREFECT_API_URL
from pydantic import HttpUrl

from lowtide.announcements import Announcement


class Events(Block):
    """Tells Prefect what happened; automations listen.

    The one hard idea: telling never breaks a training. Events are put into a queue that a thread of
    Prefect's own empties, and one that cannot be sent costs a notification, not a run. What has to
    happen never depends on an event.

    Examples:
        Load saved events:
        ```python
        from blocks.events import Events

        events = Events.load("BLOCK_NAME")
        ```
    """

    _block_type_slug: ClassVar[str | None] = "lowtide-events"
    _block_type_name: ClassVar[str | None] = "Lowtide Events"
    _description: ClassVar[str | None] = "Tells Prefect what happened; automations listen."
    _documentation_url: ClassVar[HttpUrl | None] = HttpUrl(
        "https://example.invalid/lowtide/blocks"
    )

    def emit(self, announcement: Announcement) -> None:
        """Tell Prefect of something; telling it again changes nothing there.

        Args:
            announcement: What happened.
        """
        if PREFECT_API_URL.value() is None:
            return  # nobody listens: Prefect would start a server of its own just to tell it
        resource = {
            "prefect.resource.id": announcement.resource,
            "prefect.resource.name": announcement.resource.removeprefix("lowtide."),
            **announcement.labels,
        }
        related = [
            {"prefect.resource.id": other, "prefect.resource.role": role}
            for role, other in announcement.related.items()
        ]
        try:
            emit_event(
                announcement.event.value,
                resource=resource,
                occurred=announcement.at,
                related=related,
                payload=dict(announcement.body),
                id=announcement.id,
            )
        except (PrefectException, ValueError) as error:
            logging.getLogger("lowtide").warning("event %s was not sent: %s", announcement, error)
