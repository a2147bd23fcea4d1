"""Events that are written down instead of sent; one id counts once, as with Prefect."""

from typing import ClassVar

from pydantic import PrivateAttr
from typing_extensions import override

from blocks.events import Events
from lowtide.announcements import Announcement, EventName


class NotedEvents(Events):
    """Sends nothing; remembers what was told, in order."""

    _block_type_slug: ClassVar[str | None] = "noted-events"
    _told: list[Announcement] = PrivateAttr(default_factory=list[Announcement])

    @override
    def emit(self, announcement: Announcement) -> None:
        if announcement.id not in {each.id for each in self._told}:
            self._told.append(announcement)

    @property
    def told(self) -> tuple[Announcement, ...]:
        return tuple(self._told)

    def of(self, event: EventName) -> tuple[Announcement, ...]:
        """Return what was told of one kind, in order."""
        return tuple(each for each in self._told if each.event is event)
