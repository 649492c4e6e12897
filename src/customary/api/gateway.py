"""The gate: from a request under `/api` to its answer. It picks the version, checks the key and runs one handler.

A write runs in one transaction, which is committed before a byte of the answer is sent; whatever raises undoes it.
Idempotency keys, rate limits and conditional requests have their place here, around `_handle`.
"""

import re
from time import perf_counter

import msgspec
import structlog
from uuid_utils import uuid7

from customary import errors
from customary.api import auth, failures, guard, reading, versions
from customary.api.endpoint import Call, Endpoint
from customary.api.http import Request, Response, query_parameters
from customary.api.version import Version
from customary.domain.account import ApiKey
from customary.logs import places
from customary.storage.database import Database

_REQUEST_ID = re.compile(rb"[A-Za-z0-9._-]{1,64}")
_log = structlog.get_logger("customary.api")
_encoder = msgspec.json.Encoder()


class _Exchange(msgspec.Struct):
    """What becomes known about a request while it is answered."""

    request_id: str
    version: Version = versions.NEWEST
    key: ApiKey | None = None
    endpoint: Endpoint | None = None


async def answer(
    database: Database, request: Request, segments: tuple[str, ...]
) -> tuple[Response, list[tuple[bytes, bytes]]]:
    """The answer to a request, and the headers that every answer under `/api` carries. Never raises."""
    started = perf_counter()
    exchange = _Exchange(_request_id(request))
    try:
        response = await _answer(database, request, segments, exchange)
    except errors.Failure as failure:
        response = failures.response(failure)
    except Exception as error:  # noqa: BLE001 - the last resort: a defect of ours is answered and logged, not passed on
        _log.error("request_failed", request_id=exchange.request_id, places=places(error))
        message = f"Something went wrong on our side. Tell the operator the request id {exchange.request_id}."
        response = failures.response(errors.Internal(message))
    _log_request(exchange, response, perf_counter() - started)
    return response, [
        (b"sequence-version", exchange.version.header),
        (b"x-request-id", exchange.request_id.encode()),
        (b"cache-control", b"no-store"),
    ]


async def _answer(database: Database, request: Request, segments: tuple[str, ...], exchange: _Exchange) -> Response:
    asked = versions.named(request.headers.get(b"sequence-version"))
    exchange.version = asked or exchange.version
    exchange.key = await auth.authenticate(database, request.headers.get(b"authorization"))
    if asked is None and exchange.key.pinned_version in versions.LIVE:
        exchange.version = versions.LIVE[exchange.key.pinned_version]
    endpoint, path = exchange.version.router.find(request.method, segments)
    exchange.endpoint = endpoint
    auth.require_scope(exchange.key, endpoint.scope)
    call = Call(path, database.cursor_secret, exchange.request_id)
    return await _handle(database, request, endpoint, exchange.key, call)


async def _handle(database: Database, request: Request, endpoint: Endpoint, key: ApiKey, call: Call) -> Response:
    parameters = query_parameters(request.query_string)
    arguments: list[object] = []
    if endpoint.query is not None:
        arguments.append(reading.read_query(endpoint.query, parameters))
    if endpoint.body is not None:
        arguments.append(reading.read_body(endpoint.body, await guard.read_json(request)))
    open_for = database.reading if endpoint.is_read else database.transaction
    async with open_for(key.account_id) as tx:
        body = _encoder.encode(await endpoint.handler(tx, call, *arguments))
    return Response(endpoint.status, body)


def _request_id(request: Request) -> str:
    """The caller's id for this request if it is a plain one, else a new one."""
    given = request.header(b"x-request-id")
    return given.decode() if given is not None and _REQUEST_ID.fullmatch(given) else str(uuid7())


def _log_request(exchange: _Exchange, response: Response, seconds: float) -> None:
    """One line for each request. The path is the route's template: a path's parameters can be personal data."""
    _log.info(
        "request",
        request_id=exchange.request_id,
        method=exchange.endpoint.method if exchange.endpoint else None,
        path=exchange.endpoint.path if exchange.endpoint else None,
        status=response.status,
        version=exchange.version.date,
        account_id=exchange.key.account_id if exchange.key else None,
        client_id=exchange.key.client_id if exchange.key else None,
        duration_ms=round(seconds * 1000, 2),
    )
