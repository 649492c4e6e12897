"""Following the events of an account as they happen, for somebody who tries out what receives them."""

import asyncio
from collections.abc import AsyncGenerator, Callable
from datetime import UTC, datetime
from uuid import UUID

from msgspec import Struct

from customary.connectors.webhook import WebhookSender
from customary.domain import delivery, signature
from customary.domain.activity import Event
from customary.domain.delivery import Answer
from customary.errors import Unavailable
from customary.storage import event_feed
from customary.storage.database import Database
from customary.storage.event_feed import Feed, Place, Wanted

POLL_SECONDS = 0.25
_PAGE = 100


async def from_now_on(database: Database, account_id: UUID) -> Place:
    """The place from which all that happens from now on can be followed. Raises `Unavailable`."""
    async with database.reading(account_id) as reading:
        return await event_feed.place_now(reading)


async def follow(
    database: Database, account_id: UUID, place: Place, wanted: Wanted, *, on_silence: Callable[[], None]
) -> AsyncGenerator[Event]:
    """The events from this place on, for as long as somebody wants them.

    A database that goes away is waited for: nothing is missed meanwhile. `on_silence` is called once each time.
    """
    is_silent = False
    while True:
        try:
            feed = await _page(database, account_id, place, wanted)
        except Unavailable:
            if not is_silent:
                on_silence()
            is_silent = True
            await asyncio.sleep(POLL_SECONDS)
            continue
        is_silent = False
        for event in feed.events:
            yield event
        place = feed.end
        if not feed.has_more:
            await asyncio.sleep(POLL_SECONDS)


class Forwarder(Struct, frozen=True):
    """Sends events to one URL, each once, just as a delivery would be sent there."""

    sender: WebhookSender
    url: str
    secret: str

    async def send(self, event: Event, body: bytes) -> Answer:
        """Send this body, which tells of this event. What cannot be reached is an answer too."""
        message_id = delivery.webhook_id(event.id)
        headers = signature.headers([self.secret], message_id=message_id, body=body, at=datetime.now(UTC))
        headers |= delivery.event_headers(event.id, event.version)
        return await self.sender.send(self.url, body, headers)


async def _page(database: Database, account_id: UUID, place: Place, wanted: Wanted) -> Feed:
    async with database.reading(account_id) as reading:
        return await event_feed.read(reading, place, wanted, limit=_PAGE)
