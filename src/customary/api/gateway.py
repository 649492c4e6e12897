"""The gate: from a request under `/api` to its answer.

It picks the version, checks the key and its rate, finds the endpoint, and reads what was sent. A GET runs its handler
on a bound connection; a write is handed to `writes`.
"""

from time import perf_counter
from uuid import UUID

import msgspec
import structlog

from customary import errors, logs
from customary.api import auth, conditions, failures, guard, limits, reading, versions, writes
from customary.api.endpoint import Call, Endpoint
from customary.api.http import Request, Response, query_parameters
from customary.api.request_ids import request_id
from customary.api.request_metrics import METHODS, NONE, RequestMetrics
from customary.api.version import Version
from customary.domain.account import ApiKey
from customary.domain.activity import ActorType, Caller
from customary.storage.database import Database
from customary.storage.failures import IN_DOUBT
from customary.timeouts import Timeout

# A client that waits ten seconds for an answer gets one, and so does one whose server is told to stop meanwhile. The
# time that its client takes to send the body is not counted: that has limits too.
DEADLINE_SECONDS = 7.5

_log = structlog.get_logger("customary.api")
_encode = msgspec.json.Encoder().encode


class Services(msgspec.Struct, frozen=True):
    """What the gate works with. `has_mail` says whether this service can send e-mail."""

    database: Database
    limiter: limits.Limiter
    authenticator: auth.Authenticator
    metrics: RequestMetrics
    has_mail: bool = False


class _Exchange(msgspec.Struct):
    """What becomes known about a request while it is answered."""

    request_id: str
    flaw: errors.Failure | None
    deadline: Timeout
    version: Version = versions.NEWEST
    key: ApiKey | None = None
    rate: limits.Decision | None = None
    endpoint: Endpoint | None = None
    is_writing: bool = False


async def answer(
    services: Services, request: Request, segments: tuple[str, ...], flaw: errors.Failure | None = None
) -> tuple[Response, list[tuple[bytes, bytes]]]:
    """The answer to a request, and the headers that every answer under `/api` carries. Never raises.

    A `flaw` of its head is all the answer that it gets.
    """
    started = perf_counter()
    exchange = _Exchange(request_id(request.header(b"x-request-id")), flaw, Timeout(DEADLINE_SECONDS))
    try:
        with exchange.deadline:
            response = await _answer(services, request, segments, exchange)
    except errors.Failure as failure:
        response = failures.response(failure)
    except Exception as error:  # noqa: BLE001 - the last resort: a defect of ours is answered and logged, not passed on
        response = failures.response(_late(exchange) if exchange.deadline.has_passed else _defect(exchange, error))
    seconds = perf_counter() - started
    route = f"/api{exchange.endpoint.path}" if exchange.endpoint else NONE
    services.metrics.answered(request.method, route, response.status, exchange.version.date, seconds)
    _log_request(request, exchange, response, seconds)
    return response, [
        (b"sequence-version", exchange.version.header),
        (b"x-request-id", exchange.request_id.encode()),
        (b"cache-control", b"no-store"),
        *(exchange.rate.headers() if exchange.rate else ()),
    ]


def _late(exchange: _Exchange) -> errors.Failure:
    """What to say at the deadline: a write that was given to the database may be committed."""
    if exchange.is_writing:
        return errors.Unavailable(IN_DOUBT)
    return errors.Unavailable("This could not be answered in time; nothing was changed. Try again in a moment.")


def _defect(exchange: _Exchange, error: Exception) -> errors.Failure:
    if isinstance(error, MemoryError):
        _log.error("memory_exhausted", request_id=exchange.request_id)
        return errors.Unavailable("There is no memory for this request right now; try again in a moment.")
    _log.error("request_failed", request_id=exchange.request_id, places=logs.places(error))
    message = f"Something went wrong on our side. Tell the operator the request id {exchange.request_id}."
    return errors.Internal(message)


async def _answer(services: Services, request: Request, segments: tuple[str, ...], exchange: _Exchange) -> Response:
    asked = versions.named(request.headers.get(b"sequence-version"))
    exchange.version = asked or exchange.version
    if exchange.flaw is not None:
        return failures.response(exchange.flaw)
    key = await _admit(services, request, exchange)
    if asked is None and key.pinned_version in versions.LIVE:
        exchange.version = versions.LIVE[key.pinned_version]
    exchange.rate = services.limiter.take(key.client_id, key.requests_per_minute)
    if exchange.rate.is_used_up:
        services.metrics.rate_limited.add()
    exchange.rate.require_room()
    endpoint, path = exchange.version.router.find(request.method, segments)
    exchange.endpoint = endpoint
    auth.require_scope(key, endpoint.scope)
    call = Call(path, services.database.cursor_secret, exchange.request_id, services.has_mail)
    parameters = query_parameters(request.query_string)
    if endpoint.is_read:
        return await _read(services.database, request, endpoint, key.account_id, call, parameters)
    write = await _write(request, segments, exchange, endpoint, key, call, parameters)
    exchange.is_writing = True
    return await writes.run(services.database, write)


async def _admit(services: Services, request: Request, exchange: _Exchange) -> ApiKey:
    """The key of this request. Raises `Unauthorized`, and `RateLimited` after too many wrong secrets."""
    credentials = services.authenticator.credentials(request)
    exchange.rate = services.authenticator.too_many_failures(credentials)
    if exchange.rate is not None:
        services.metrics.guessed.add()
        auth.put_off(exchange.rate)
    exchange.key = await services.authenticator.authenticate(credentials)
    return exchange.key


async def _read(
    database: Database,
    request: Request,
    endpoint: Endpoint,
    account_id: UUID,
    call: Call,
    parameters: dict[str, list[str]],
) -> Response:
    query = () if endpoint.query is None else (reading.read_query(endpoint.query, parameters),)
    async with database.reading(account_id) as bound:
        body = _encode(await endpoint.handler(bound, call, *query))
    if not endpoint.is_single:
        return Response(endpoint.status, body)
    tag = conditions.etag_header(body)
    if conditions.is_known(request.headers.get(b"if-none-match"), tag[1]):
        return Response(304, b"", (tag,))
    return Response(endpoint.status, body, (tag,))


async def _write(
    request: Request,
    segments: tuple[str, ...],
    exchange: _Exchange,
    endpoint: Endpoint,
    key: ApiKey,
    call: Call,
    parameters: dict[str, list[str]],
) -> writes.Write:
    """What this request asks to write. Raises `Invalid` for what can be seen to be wrong before any work begins."""
    idempotency_key = writes.idempotency_key(request.headers.get(b"idempotency-key"))
    version = exchange.version.date
    is_dry_run = exchange.version.has_extensions and reading.flag(parameters, "dryRun")
    raw, arguments = b"", tuple[object, ...]()
    if endpoint.body is not None:
        media_types = guard.MERGE_PATCH_TYPES if endpoint.is_merge_patch else guard.JSON_TYPES
        with exchange.deadline.paused():
            raw = await guard.read_body(request, media_types)
        value = guard.parse_json(raw)
        arguments = (value if endpoint.is_merge_patch else reading.read_body(endpoint.body, value),)
    return writes.Write(
        account_id=key.account_id,
        caller=Caller(ActorType.API_KEY, key.client_id, "API", version, exchange.request_id),
        endpoint=endpoint,
        call=call,
        arguments=arguments,
        idempotency_key=idempotency_key,
        fingerprint=writes.fingerprint(request.method, segments, request.query_string, version, raw),
        if_match=request.headers.get(b"if-match"),
        is_dry_run=is_dry_run,
    )


def _log_request(request: Request, exchange: _Exchange, response: Response, seconds: float) -> None:
    """One line for each request. The path is the route's template: a path's parameters can be personal data."""
    logs.answered(
        request_id=exchange.request_id,
        method=request.method if request.method in METHODS else None,
        path=exchange.endpoint.path if exchange.endpoint else None,
        status=response.status,
        version=exchange.version.date,
        account_id=exchange.key.account_id if exchange.key else None,
        client_id=exchange.key.client_id if exchange.key else None,
        seconds=seconds,
    )
