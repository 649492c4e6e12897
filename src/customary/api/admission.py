"""Which requests are begun at all: as many at once as can be answered in time, and no more.

A queue that grows makes every answer late, and a late answer is asked for again. So what comes on top is refused
before anything is done for it: nothing of it is read but two headers, and its key is not looked up.
"""

import asyncio
from collections.abc import MutableMapping
from typing import Any

import structlog

from customary.api import failures, versions
from customary.api.http import Receive, Scope, Send
from customary.api.request_ids import request_id
from customary.api.request_metrics import RequestMetrics
from customary.errors import Unavailable

# More than every connection of the pool can have to do at once, and on a small machine less than what is answered in
# a second. A burst such as a hundred retries of one request has to find room however small the pool is.
PLACES_FOR_EACH_CONNECTION = 10
LEAST_PLACES = 104
# A client that asks again at once would otherwise be refused again at once, thousands of times a second, and take the
# time that those inside need.
HOLD_SECONDS = 0.073
LARGE_BYTES = 16 * 1024
_SHARED_SECONDS = 0.002
_REPORT_SECONDS = 1.0

_log = structlog.get_logger("customary.api")
_REFUSAL = failures.response(
    Unavailable("More requests came than can be answered; nothing was begun. Try again in a moment.")
)
_HEADERS = (
    *_REFUSAL.headers,
    (b"content-type", _REFUSAL.content_type),
    (b"content-length", str(len(_REFUSAL.body)).encode()),
    (b"cache-control", b"no-store"),
)


class Admission:
    """Counts the requests of one process that are being answered, against the places that there are for them.

    A block `with` it is a place for one request.
    """

    def __init__(self, pool_size: int, metrics: RequestMetrics) -> None:
        self._metrics = metrics
        self._free = max(LEAST_PLACES, PLACES_FOR_EACH_CONNECTION * pool_size)
        self._refused = 0
        self._shared = asyncio.Event()
        self._shared_until = 0.0

    @property
    def is_full(self) -> bool:
        """Whether there is no place for one more request."""
        return self._free <= 0

    def __enter__(self) -> None:
        """Take a place for one request, for the length of the block."""
        self._free -= 1
        self._metrics.in_flight.add(1)

    def __exit__(self, *_ending: object) -> None:
        self._free += 1
        self._metrics.in_flight.add(-1)

    def uncounted(self, receive: Receive) -> Receive:
        """The same `receive`. While it waits for a client, that client's place is another's."""

        async def waiting() -> MutableMapping[str, Any]:
            self._free += 1
            try:
                return await receive()
            finally:
                self._free -= 1

        return waiting

    async def refuse(self, scope: Scope, send: Send) -> None:
        """Tell a request, a moment after it came, that there is no place for it."""
        await self._moment().wait()
        version, given = versions.NEWEST, None
        for name, value in scope["headers"]:
            if name == b"x-request-id":
                given = value
            elif name == b"sequence-version":
                version = versions.LIVE.get(value.decode("latin-1"), version)
        self._metrics.overloaded(scope["method"], _REFUSAL.status, version.date)
        named = ((b"sequence-version", version.header), (b"x-request-id", request_id(given).encode()))
        await send({"type": "http.response.start", "status": _REFUSAL.status, "headers": (*_HEADERS, *named)})
        await send({"type": "http.response.body", "body": _REFUSAL.body})

    def _moment(self) -> asyncio.Event:
        """What happens in HOLD_SECONDS. All who come within a few milliseconds share one, since a timer costs much."""
        loop = asyncio.get_running_loop()
        if loop.time() >= self._shared_until:
            self._shared, self._shared_until = asyncio.Event(), loop.time() + _SHARED_SECONDS
            loop.call_later(HOLD_SECONDS, self._shared.set)
        if self._refused == 0:
            loop.call_later(_REPORT_SECONDS, self._report)
        self._refused += 1
        return self._shared

    def _report(self) -> None:
        """Log how many were refused, once a second: a line for each would cost more than they do."""
        _log.warning("requests_refused", count=self._refused)
        self._refused = 0


def has_large_body(scope: Scope) -> bool:
    """Whether the body may not have come with the head: then the client has to be let send it, to read its answer."""
    headers = dict[bytes, bytes](scope["headers"])
    length = headers.get(b"content-length", b"0")
    return b"transfer-encoding" in headers or not length.isdigit() or int(length[:20]) > LARGE_BYTES
