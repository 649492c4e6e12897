"""Looks every few seconds how much waits in the database, for the metrics of the process that works in the background.

Every such process looks, and sees the same: of several on one database, the largest figure is the one to go by.
"""

import asyncio
import math
from collections.abc import Callable
from time import monotonic

import structlog

from customary import errors
from customary.logs import places
from customary.metrics import families
from customary.metrics.process import Metrics
from customary.storage import event_feed, jobs
from customary.storage.database import Database
from customary.storage.event_feed import Horizon

PAUSE_SECONDS = 5.0
_SHARE_OF_TIME = 20  # a look goes through all that waits, and is to take no more than this part of a connection's time

_log = structlog.get_logger("customary.work")


class QueueWatch:
    """Keeps the figures of the queue and the event feed; they are no numbers while the database cannot be asked."""

    def __init__(self, database: Database, metrics: Metrics, clock: Callable[[], float] = monotonic) -> None:
        self._database = database
        self._clock = clock
        self._waiting = metrics.gauge(families.JOBS_WAITING)
        self._oldest_due = metrics.gauge(families.OLDEST_DUE_JOB)
        self._events_waiting = metrics.gauge(families.EVENTS_WAITING)
        self._horizon: Horizon | None = None
        self._held_since = 0.0
        self._know_nothing()

    async def run(self) -> None:
        """Look again and again."""
        while True:
            began = self._clock()
            await self.look()
            await asyncio.sleep(max(PAUSE_SECONDS, _SHARE_OF_TIME * (self._clock() - began)))

    async def look(self) -> None:
        """Look once."""
        try:
            async with self._database.working() as connection:
                queue, horizon = await jobs.queue(connection), await event_feed.horizon(connection)
        except errors.Failure:
            self._know_nothing()
        except Exception as error:  # noqa: BLE001 - what is only watched must not end the work
            _log.error("queue_not_measured", places=places(error))
            self._know_nothing()
        else:
            self._waiting.set(queue.waiting)
            self._oldest_due.set(queue.oldest_due_seconds)
            self._events_waiting.set(self._held_seconds(horizon))

    def _held_seconds(self, horizon: Horizon) -> float:
        """For how long the same transaction has been in the way of readers, as far as was seen from here."""
        now = self._clock()
        if horizon != self._horizon or not horizon.is_held:
            self._horizon, self._held_since = horizon, now
        return now - self._held_since

    def _know_nothing(self) -> None:
        for gauge in (self._waiting, self._oldest_due, self._events_waiting):
            gauge.set(math.nan)
